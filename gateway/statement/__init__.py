"""The monthly statement as a page: HTML that prints well."""
