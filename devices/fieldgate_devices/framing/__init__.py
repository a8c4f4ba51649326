"""Framings: where in a stream of bytes one message ends and the next begins; one file per framing."""
