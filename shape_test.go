package gantry

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var show = flag.Bool("shape", false, "print the longest functions and the types with most methods")

// Bounds of a shape that one person can hold in his head.
const (
	maxMethods = 25  // of one type, tests aside
	maxLines   = 100 // of one function
)

// longFunctions may be longer, each for the reason given.
var longFunctions = map[string]string{
	"api.routes": "one literal table of all endpoints: cutting it would hide what comes before what",
}

// wideTypes may have more methods, each for the reason given.
var wideTypes = map[string]string{
	"internal/testkit.Engine": "what tests do to an engine, flat so that a test reads as a list of steps",
}

// sized is a function or a type with its size in lines or methods.
type sized struct {
	name string
	size int
}

func TestShape(t *testing.T) {
	functions, types := measure(t)
	for _, f := range functions {
		if f.size > maxLines && longFunctions[f.name] == "" {
			t.Errorf("function %s has %d lines, more than %d, and no reason is listed", f.name, f.size, maxLines)
		}
	}
	for _, ty := range types {
		if ty.size > maxMethods && wideTypes[ty.name] == "" {
			t.Errorf("type %s has %d methods, more than %d, and no reason is listed", ty.name, ty.size, maxMethods)
		}
	}
	if *show {
		printLargest("functions by lines", functions)
		printLargest("types by methods", types)
	}
}

// measure parses all code but tests' and generated code.
func measure(t *testing.T) (functions, types []sized) {
	methods := map[string]int{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil || ast.IsGenerated(file) {
			return err
		}
		room := strings.ReplaceAll(filepath.Dir(path), string(filepath.Separator), "/")
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
			functions = append(functions, sized{room + "." + f.Name.Name, lines})
			if f.Recv != nil {
				methods[room+"."+receiver(f.Recv.List[0].Type)]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range methods {
		types = append(types, sized{name, n})
	}
	return functions, types
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return fmt.Sprintf("%T", e)
}

func printLargest(title string, all []sized) {
	slices.SortFunc(all, func(a, b sized) int { return cmp.Or(b.size-a.size, strings.Compare(a.name, b.name)) })
	fmt.Println(title)
	for _, s := range all[:min(10, len(all))] {
		fmt.Printf("  %4d  %s\n", s.size, s.name)
	}
}
