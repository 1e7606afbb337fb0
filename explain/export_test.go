package explain

// DifferentiableOperators lists the operators that have a rule.
func DifferentiableOperators() []string {
	var names []string
	for name, op := range table {
		if op.vjp != nil {
			names = append(names, name)
		}
	}
	return names
}
