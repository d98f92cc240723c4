"""A domain and a metric for diversity-shift, from a package of their own."""
