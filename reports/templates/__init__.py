"""The page of the HTML report: its template, style and script, read as package data."""
