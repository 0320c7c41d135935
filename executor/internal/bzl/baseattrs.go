package bzl

import "go.starlark.net/starlark"

// baseAttrs are the attributes that every rule has.
func baseAttrs(test, executable bool) map[string]*Attr {
	m := map[string]*Attr{}
	add := func(name string, t AttrType, def starlark.Value) *Attr {
		if def == nil {
			def = zeroValue(t)
		}
		a := &Attr{Name: name, Type: t, Default: def, AllowEmpty: true, Implicit: true, Files: FileFilter{None: true}}
		m[name] = a
		return a
	}
	fixed := func(name string, t AttrType, def starlark.Value) *Attr {
		a := add(name, t, def)
		a.Fixed = true
		return a
	}
	fixed("name", TypeString, nil).Mandatory = true
	fixed("tags", TypeStringList, nil)
	fixed("testonly", TypeBool, nil)
	fixed("visibility", TypeNodepLabels, nil)
	fixed("deprecation", TypeString, nil)
	add("features", TypeStringList, nil)
	add("toolchains", TypeLabelList, nil)
	add("compatible_with", TypeNodepLabels, nil).Fixed = true
	add("restricted_to", TypeNodepLabels, nil).Fixed = true
	add("target_compatible_with", TypeLabelList, nil)
	add("exec_compatible_with", TypeNodepLabels, nil)
	add("exec_properties", TypeStringDict, nil)
	add("exec_group_compatible_with", TypeLabelListDict, nil)
	add("applicable_licenses", TypeNodepLabels, nil)
	add("package_metadata", TypeNodepLabels, nil)
	add("aspect_hints", TypeLabelList, nil)
	add("transitive_configs", TypeStringList, nil)
	fixed("generator_name", TypeString, nil)
	fixed("generator_function", TypeString, nil)
	if executable {
		add("args", TypeStringList, nil)
		add("output_licenses", TypeStringList, nil)
	}
	if test {
		fixed("size", TypeString, starlark.String("medium")).Values = stringValues("small", "medium", "large", "enormous")
		fixed("timeout", TypeString, nil).Values = stringValues("", "short", "moderate", "long", "eternal")
		add("flaky", TypeBool, nil)
		add("shard_count", TypeInt, starlark.MakeInt(-1))
		add("local", TypeBool, nil)
		add("env_inherit", TypeStringList, nil)
	}
	return m
}

func stringValues(ss ...string) []starlark.Value {
	out := make([]starlark.Value, len(ss))
	for i, s := range ss {
		out[i] = starlark.String(s)
	}
	return out
}
