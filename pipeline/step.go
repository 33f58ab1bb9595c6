package pipeline

// operator returns the name of the step's operator and its apply_to: of the
// first one set, "" and nil where none is.
func (c *CleanStep) operator() (string, *[]Phase) {
	switch {
	case c.Trim != nil:
		return "trim", &c.Trim.ApplyTo
	case c.Case != nil:
		return "case", &c.Case.ApplyTo
	case c.Filter != nil:
		return "filter", &c.Filter.ApplyTo
	case c.Derive != nil:
		return "derive", &c.Derive.ApplyTo
	case c.Cast != nil:
		return "cast", &c.Cast.ApplyTo
	case c.Fill != nil:
		return "fill", &c.Fill.ApplyTo
	}
	return "", nil
}
