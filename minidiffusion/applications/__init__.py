r"""What it is good for (article 5): a picture book from a story, a sheet of icons, a pattern without a seam."""
