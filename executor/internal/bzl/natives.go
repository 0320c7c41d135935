package bzl

// Natives returns the rules that are written in Go: package analysis implements
// them by Name. Each call returns new, equal classes.
func Natives() map[string]*RuleClass {
	m := map[string]*RuleClass{}
	for _, n := range nativeTable {
		r := &RuleClass{Name: n.name, Doc: n.doc, Attrs: baseAttrs(false, false)}
		for _, a := range n.attrs {
			c := a
			c.AllowEmpty = true
			if c.Default == nil {
				c.Default = zeroValue(c.Type)
			}
			r.Attrs[c.Name] = &c
		}
		m[n.name] = r
	}
	return m
}

// anyFile lets an attribute take every file.
var anyFile = FileFilter{}

var noFile = FileFilter{None: true}

type nativeRule struct {
	name, doc string
	attrs     []Attr
}

var nativeTable = []nativeRule{
	{"alias", "Another name for a target.", []Attr{
		{Name: "actual", Type: TypeLabel, Mandatory: true, Files: anyFile, Doc: "The target that this name stands for."},
	}},
	{"config_setting", "A condition that select() can test.", []Attr{
		{Name: "constraint_values", Type: TypeLabelList, Fixed: true, Files: noFile, Doc: "Constraint values that the target platform must have."},
		{Name: "define_values", Type: TypeStringDict, Fixed: true, Doc: "Values of --define."},
		{Name: "flag_values", Type: TypeLabelKeyedStringDict, Fixed: true, Files: noFile, Doc: "Values of build settings."},
		{Name: "values", Type: TypeStringDict, Fixed: true, Doc: "Values of command-line options, by name without dashes."},
	}},
	{"constraint_setting", "A dimension in which platforms differ.", []Attr{
		{Name: "default_constraint_value", Type: TypeString, Fixed: true, Doc: "The value of platforms that name none; a target of this package."},
	}},
	{"constraint_value", "One value of a constraint_setting.", []Attr{
		{Name: "constraint_setting", Type: TypeLabel, Mandatory: true, Fixed: true, Files: noFile},
	}},
	{"platform", "A named set of constraint values.", []Attr{
		{Name: "constraint_values", Type: TypeLabelList, Fixed: true, Files: noFile},
		{Name: "exec_properties", Type: TypeStringDict, Fixed: true},
		{Name: "flags", Type: TypeStringList, Fixed: true},
		{Name: "parents", Type: TypeLabelList, Fixed: true, Files: noFile, Doc: "At most one platform to inherit from."},
		{Name: "remote_execution_properties", Type: TypeString, Fixed: true},
		{Name: "required_settings", Type: TypeLabelList, Fixed: true, Files: noFile},
	}},
	{"toolchain_type", "The name of a kind of toolchain.", nil},
	{"toolchain", "A toolchain of a type, for execution and target platforms with the given constraints.", []Attr{
		{Name: "toolchain_type", Type: TypeLabel, Mandatory: true, Fixed: true, Files: noFile},
		{Name: "toolchain", Type: TypeNodepLabel, Mandatory: true, Fixed: true},
		{Name: "exec_compatible_with", Type: TypeLabelList, Fixed: true, Files: noFile},
		{Name: "target_compatible_with", Type: TypeLabelList, Fixed: true, Files: noFile},
		{Name: "target_settings", Type: TypeLabelList, Fixed: true, Files: noFile},
		{Name: "use_target_platform_constraints", Type: TypeBool, Fixed: true},
	}},
	{"test_suite", "A set of tests.", []Attr{
		{Name: "tests", Type: TypeNodepLabels, Fixed: true, Doc: "Tests and suites; empty means all tests of the package."},
	}},
	{"label_flag", "A build setting whose value is a label, set with --//pkg:name=label.", []Attr{
		{Name: "build_setting_default", Type: TypeLabel, Mandatory: true, Fixed: true, Files: anyFile},
	}},
	{"label_setting", "A build setting whose value is a label.", []Attr{
		{Name: "build_setting_default", Type: TypeLabel, Mandatory: true, Fixed: true, Files: anyFile},
	}},
}
