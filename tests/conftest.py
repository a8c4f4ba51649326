"""What holds for every test: hypothesis measures no time, because CI machines and Pis are slow at times."""

from hypothesis import settings

settings.register_profile("fieldgate", deadline=None)
settings.load_profile("fieldgate")
