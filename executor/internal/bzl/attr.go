package bzl

import (
	"go.starlark.net/starlark"
)

// AttrType is the type of an attribute, named as Bazel's documentation does.
type AttrType string

// The attribute types.
const (
	TypeString               AttrType = "string"
	TypeInt                  AttrType = "int"
	TypeBool                 AttrType = "bool"
	TypeLabel                AttrType = "label"
	TypeLabelList            AttrType = "label_list"
	TypeStringList           AttrType = "string_list"
	TypeStringDict           AttrType = "string_dict"
	TypeIntList              AttrType = "int_list"
	TypeOutput               AttrType = "output"
	TypeOutputList           AttrType = "output_list"
	TypeLabelKeyedStringDict AttrType = "label_keyed_string_dict"
	TypeStringKeyedLabelDict AttrType = "string_keyed_label_dict"
	TypeStringListDict       AttrType = "string_list_dict"
	TypeLabelListDict        AttrType = "label_list_dict"

	// TypeNodepLabels holds labels that are no dependencies, as visibility does.
	TypeNodepLabels AttrType = "nodep_label_list"

	// TypeNodepLabel is one label that is no dependency.
	TypeNodepLabel AttrType = "nodep_label"
)

// An Attr is one attribute of a rule class: the value of attr.string() and its
// siblings, and after rule() its name too. It is read-only once rule() returned.
//
// Coerced values are: String, Int, Bool, Label, frozen List of those, frozen
// Dict of those; None for a label that is absent; and *Select.
type Attr struct {
	Name string
	Type AttrType
	Doc  string

	// Default is coerced and frozen, never nil (the type's zero value if none was given).
	Default starlark.Value

	// Computed, where not nil, is a function of other attributes that gives the default.
	Computed starlark.Callable

	// LateBound marks a default that configuration_field() gave; it is None here.
	LateBound bool

	Mandatory  bool
	AllowEmpty bool             // of lists and dicts
	Values     []starlark.Value // allowed values; empty means all
	Executable bool

	// Files says which files a label attribute takes.
	Files      FileFilter
	SingleFile bool

	// Providers is an or of ands: a dependency has all of one inner list.
	Providers [][]*Provider

	Aspects []*Aspect
	Cfg     starlark.Value // "exec", "target", a transition...; nil means target
	Flags   []string
	Rules   []string // allow_rules; nil means all

	// Fixed attributes may not hold a select().
	Fixed bool

	// Implicit attributes are there in every rule and were not written in rule(attrs=).
	Implicit bool
}

// FileFilter says which files may be named by a label attribute.
type FileFilter struct {
	None       bool     // no file at all
	Extensions []string // allowed suffixes; empty and not None means every file
}

// Allows reports whether the file called name may be used.
func (f FileFilter) Allows(name string) bool {
	if f.None {
		return false
	}
	for _, ext := range f.Extensions {
		if len(name) >= len(ext) && name[len(name)-len(ext):] == ext {
			return true
		}
	}
	return len(f.Extensions) == 0
}

// IsLabels reports whether values of the attribute name dependencies.
func (a *Attr) IsLabels() bool {
	switch a.Type {
	case TypeLabel, TypeLabelList, TypeLabelKeyedStringDict, TypeStringKeyedLabelDict, TypeLabelListDict:
		return true
	}
	return false
}

// IsOutput reports whether values of the attribute name files that the target makes.
func (a *Attr) IsOutput() bool { return a.Type == TypeOutput || a.Type == TypeOutputList }

// IsPrivate reports whether BUILD files may not set the attribute.
func (a *Attr) IsPrivate() bool { return a.Name != "" && a.Name[0] == '_' }
