r"""TODO"""
