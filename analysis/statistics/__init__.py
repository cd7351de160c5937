"""How figures are estimated: intervals, ranges, effects, choices. No drawing, no file format."""
