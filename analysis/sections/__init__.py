"""One report section a file: numbers first, drawing second. No output format."""
