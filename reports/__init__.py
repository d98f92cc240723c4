"""What is read: a Shift as a page, a comment, a table. No statistics are computed here."""

if __name__ != "diversity.reports":
    raise ImportError("import this folder as `diversity.reports`: a second copy would fill the registry twice")
