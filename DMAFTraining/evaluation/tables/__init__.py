"""The tables of the paper: what stands in them, and their Markdown, CSV and LaTeX."""
