r"""CLIP: pictures and sentences in one space (article 2.4, 3.4, 4.3)."""
