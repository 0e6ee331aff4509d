r"""The captioned picture world: scenes, their pictures, and what can be said about them."""
