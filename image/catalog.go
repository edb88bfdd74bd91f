package image

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gantry/storage"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// danglingPrefix and an image's ID are the name of an image without a name, as
// dockerd stores it.
const danglingPrefix = "moby-dangling@"

// idPrefix is what may be the beginning of an image's ID.
var idPrefix = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{4,64})$`)

// catalog is the store of names. Contexts must carry the namespace.
type catalog struct {
	store   *storage.Service
	content *reader
}

// match is what a reference was found to be.
type match struct {
	target   ocispec.Descriptor
	name     string // stored name; "" if the image was found by its ID
	familiar string // as the user writes it; "" for an ID
	id       bool   // found by its ID or a part of it
}

func isDangling(name string) bool { return strings.HasPrefix(name, danglingPrefix) }

// find looks a user's reference up. Errors: not found and invalid argument, in dockerd's words.
func (c *catalog) find(ctx context.Context, ref string) (match, error) {
	if isDangling(ref) {
		i, err := c.store.Images().Get(ctx, ref)
		if err != nil {
			return match{}, noSuchImage(ref, err)
		}
		return match{target: i.Target, name: i.Name, id: true}, nil
	}
	parsed, err := reference.ParseAnyReference(ref)
	if err != nil {
		return match{}, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	named, ok := parsed.(reference.Named)
	if !ok {
		return c.findID(ctx, ref, parsed)
	}
	named = reference.TagNameOnly(named)
	m, err := c.findName(ctx, named)
	if errdefs.IsNotFound(err) && idPrefix.MatchString(ref) {
		return c.findID(ctx, ref, named)
	}
	return m, err
}

func (c *catalog) findName(ctx context.Context, named reference.Named) (match, error) {
	digested, hasDigest := named.(reference.Digested)
	if hasDigest {
		// A tag beside a digest says nothing: the digest decides.
		plain := reference.TrimNamed(named)
		return c.findDigested(ctx, plain, digested.Digest())
	}
	i, err := c.store.Images().Get(ctx, named.String())
	if err != nil {
		return match{}, noSuchImage(reference.FamiliarString(named), err)
	}
	return match{target: i.Target, name: i.Name, familiar: reference.FamiliarString(named)}, nil
}

// findDigested finds repo@digest: a name of its own, or any name of the repository that has this target.
func (c *catalog) findDigested(ctx context.Context, repo reference.Named, d digest.Digest) (match, error) {
	full, err := reference.WithDigest(repo, d)
	if err != nil {
		return match{}, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if i, err := c.store.Images().Get(ctx, full.String()); err == nil {
		return match{target: i.Target, name: i.Name, familiar: reference.FamiliarString(full)}, nil
	}
	same, err := c.withTarget(ctx, d)
	if err != nil {
		return match{}, err
	}
	for _, i := range same {
		if other, err := reference.ParseNormalizedNamed(i.Name); err == nil && !isDangling(i.Name) && other.Name() == repo.Name() {
			return match{target: i.Target, name: i.Name, familiar: reference.FamiliarString(full)}, nil
		}
	}
	return match{}, noSuchImage(reference.FamiliarString(full), errdefs.ErrNotFound)
}

// findID finds an image by its ID or the beginning of it; parsed is how an error calls it.
func (c *catalog) findID(ctx context.Context, ref string, parsed reference.Reference) (match, error) {
	hex := idPrefix.FindStringSubmatch(ref)
	if hex == nil {
		return match{}, noSuchImage(reference.FamiliarString(parsed), errdefs.ErrNotFound)
	}
	all, err := c.all(ctx)
	if err != nil {
		return match{}, err
	}
	var found *images.Image
	for n, i := range all {
		if !strings.HasPrefix(i.Target.Digest.Encoded(), hex[1]) {
			continue
		}
		if found != nil && found.Target.Digest != i.Target.Digest {
			return match{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("ambiguous reference: %s is the beginning of more than one image ID", ref))
		}
		found = &all[n]
	}
	if found == nil {
		if found, err = c.findConfig(ctx, all, hex[1]); err != nil {
			return match{}, err
		}
	}
	if found == nil {
		return match{}, noSuchImage(reference.FamiliarString(parsed), errdefs.ErrNotFound)
	}
	return match{target: found.Target, id: true}, nil
}

// findConfig finds an image by the digest of its config or the beginning of it: that is the ID which images had in
// Docker's classic store, and which users have in their scripts. nil if there is none. Several images may share a
// config, one as pulled and one as adopted: any of them, but rather one with a name.
func (c *catalog) findConfig(ctx context.Context, all []images.Image, hex string) (*images.Image, error) {
	var found *images.Image
	var config digest.Digest
	for n, i := range all {
		list, err := c.content.members(ctx, i.Target)
		if err != nil {
			continue // a broken image must not hide the others
		}
		for _, m := range list {
			if m.variant == nil || !strings.HasPrefix(m.variant.manifest.Config.Digest.Encoded(), hex) {
				continue
			}
			if config != "" && config != m.variant.manifest.Config.Digest {
				return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("ambiguous reference: %s is the beginning of more than one image ID", hex))
			}
			if found == nil || isDangling(found.Name) {
				found, config = &all[n], m.variant.manifest.Config.Digest
			}
		}
	}
	return found, nil
}

func (c *catalog) all(ctx context.Context) ([]images.Image, error) { return c.store.Images().List(ctx) }

// withTarget lists the names of an image, dangling ones included.
func (c *catalog) withTarget(ctx context.Context, id digest.Digest) ([]images.Image, error) {
	all, err := c.all(ctx)
	return slices.DeleteFunc(all, func(i images.Image) bool { return i.Target.Digest != id }), err
}

// put makes name point to target, in the transaction of ctx. An image that loses its last name by that becomes
// dangling; one that has been dangling and gets a name is no longer. The result is the image that name pointed to before, if it was another.
func (c *catalog) put(ctx context.Context, name string, target ocispec.Descriptor, labels map[string]string) (replaced digest.Digest, err error) {
	store := c.store.Images()
	// The store adds its own annotations to nothing: what an archive or registry said of the descriptor stays out.
	target = ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
	old, err := store.Get(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		_, err = store.Create(ctx, images.Image{Name: name, Target: target, Labels: labels})
	case err == nil && old.Target.Digest == target.Digest:
		_, err = store.Update(ctx, images.Image{Name: name, Target: target, Labels: old.Labels})
	case err == nil:
		replaced = old.Target.Digest
		if err = c.keepDangling(ctx, old); err == nil {
			_, err = store.Update(ctx, images.Image{Name: name, Target: target, Labels: labels})
		}
	}
	if err != nil || isDangling(name) {
		return replaced, err
	}
	err = store.Delete(ctx, danglingName(target.Digest))
	if err != nil && !errdefs.IsNotFound(err) {
		return replaced, err
	}
	return replaced, c.dropStandIn(ctx, name, target.Digest)
}

// dropStandIn takes the name repo@digest from an adopted image, once the image that has that digest is here
// and has a name in the repository: it finds itself.
func (c *catalog) dropStandIn(ctx context.Context, name string, d digest.Digest) error {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil //nolint:nilerr // there is no such name
	}
	full, err := reference.WithDigest(reference.TrimNamed(named), d)
	if err != nil {
		return err
	}
	other, err := c.store.Images().Get(ctx, full.String())
	if errdefs.IsNotFound(err) || err == nil && other.Target.Digest == d {
		return nil
	}
	if err == nil {
		err = c.keepDangling(ctx, other)
	}
	if err != nil {
		return err
	}
	return c.store.Images().Delete(ctx, other.Name)
}

// keepDangling gives an image that is about to lose the name old a dangling one, if it is the last.
func (c *catalog) keepDangling(ctx context.Context, old images.Image) error {
	same, err := c.withTarget(ctx, old.Target.Digest)
	if err != nil {
		return err
	}
	for _, i := range same {
		if i.Name != old.Name {
			return nil
		}
	}
	_, err = c.store.Images().Create(ctx, images.Image{Name: danglingName(old.Target.Digest), Target: old.Target, Labels: old.Labels})
	if errdefs.IsAlreadyExists(err) {
		err = nil
	}
	return err
}

func danglingName(id digest.Digest) string { return danglingPrefix + id.String() }

func noSuchImage(ref string, err error) error {
	if !errdefs.IsNotFound(err) {
		return err
	}
	return errdefs.ErrNotFound.WithMessage("No such image: " + ref)
}

// familiar is a stored name as the user writes it.
func familiar(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || isDangling(name) {
		return name
	}
	return reference.FamiliarString(named)
}
