"""How a block of a section becomes HTML, Markdown, LaTeX or CSV. Nothing here knows what a figure means."""
