"""What pyproject.toml cannot say: the compiled core of placement. Without a compiler the rest is installed alone."""

from setuptools import Extension, setup

FOLDER = "platform/quota/placement"
core = Extension(
    "headwater.quota.placement.compiled",
    [f"{FOLDER}/compiled.c"],
    depends=[f"{FOLDER}/potential.h"],
    extra_compile_args=["-O3"],
    optional=True,
)
setup(ext_modules=[core])
