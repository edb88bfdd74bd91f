package container

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"gantry/container/record"
	"gantry/container/spec"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Update changes limits and the restart policy, at once where it runs. Errors: invalid argument, conflict.
func (s *Service) Update(ctx context.Context, ref string, u container.UpdateConfig) (container.UpdateResponse, error) {
	var res container.UpdateResponse
	c, err := s.locked(ctx, ref)
	if err != nil {
		return res, err
	}
	defer c.unlock()
	r := c.Record()
	fail := func(err error) (container.UpdateResponse, error) {
		return res, fmt.Errorf("Cannot update container %s: %w", c.id, err)
	}
	if r.Status == record.Removing || r.Status == record.Dead {
		return fail(errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be updated"))
	}
	host := *r.HostConfig
	if err := merge(&host, u); err != nil {
		return fail(err)
	}
	set := s.settings.Load()
	for _, check := range []error{validateMemory(&host.Resources), validateCPU(&host.Resources, set), validateBlkio(&host.Resources), validateRestart(&host)} {
		if check != nil {
			return fail(check)
		}
	}
	limits, warnings, err := spec.Resources(set.Spec, &host.Resources)
	if err != nil {
		return fail(err)
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.amend(c, func(r *record.Container) { r.HostConfig = &host }); err != nil {
		return fail(err)
	}
	if r.Up() && !reflect.DeepEqual(r.HostConfig.Resources, host.Resources) {
		limits.Devices = nil // not changed by an update
		err := s.cfg.Tasks.Update(ctx, c.id, limits)
		if err != nil && !errdefs.IsNotFound(err) { // one that has just ended is started with the new limits
			return fail(errors.Join(err, s.amend(c, func(now *record.Container) { now.HostConfig = r.HostConfig })))
		}
	}
	s.Announce(c.Record(), events.ActionUpdate, nil)
	res.Warnings = warnings
	return res, nil
}

// merge takes the settings that are given; zero values mean no change.
func merge(h *container.HostConfig, u container.UpdateConfig) error {
	take := func(dst *int64, src int64) {
		if src != 0 {
			*dst = src
		}
	}
	if u.NanoCPUs > 0 && (h.CPUPeriod > 0 || h.CPUQuota > 0) && u.CPUPeriod == 0 && u.CPUQuota == 0 {
		return errdefs.ErrInvalidArgument.WithMessage("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
	}
	if (u.CPUPeriod > 0 || u.CPUQuota > 0) && h.NanoCPUs > 0 {
		return errdefs.ErrInvalidArgument.WithMessage("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
	}
	if u.Memory > 0 && u.MemorySwap == 0 && h.MemorySwap > 0 && u.Memory > h.MemorySwap {
		return errdefs.ErrInvalidArgument.WithMessage("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	}
	take(&h.CPUShares, u.CPUShares)
	take(&h.Memory, u.Memory)
	take(&h.NanoCPUs, u.NanoCPUs)
	take(&h.CPUPeriod, u.CPUPeriod)
	take(&h.CPUQuota, u.CPUQuota)
	take(&h.CPURealtimePeriod, u.CPURealtimePeriod)
	take(&h.CPURealtimeRuntime, u.CPURealtimeRuntime)
	take(&h.MemoryReservation, u.MemoryReservation)
	take(&h.MemorySwap, u.MemorySwap)
	if u.BlkioWeight != 0 {
		h.BlkioWeight = u.BlkioWeight
	}
	if u.CpusetCpus != "" {
		h.CpusetCpus = u.CpusetCpus
	}
	if u.CpusetMems != "" {
		h.CpusetMems = u.CpusetMems
	}
	if u.PidsLimit != nil {
		h.PidsLimit = u.PidsLimit
	}
	if u.RestartPolicy.Name != "" {
		if h.AutoRemove && !u.RestartPolicy.IsNone() {
			return errdefs.ErrConflict.WithMessage("Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		h.RestartPolicy = u.RestartPolicy
	}
	return nil
}
