"""Placeholder."""

if __name__ != "diversity.reports":
    raise ImportError("import this folder as `diversity.reports`: a second copy would fill the registry twice")
