"""The wheel's tag: any Python 3 on this platform where ci/wheel has put the program and the library into the package, else any platform."""
import pathlib

from setuptools import Distribution, setup

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

BUNDLED = (pathlib.Path(__file__).resolve().parent / "headct" / "_bundled").is_dir()


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return BUNDLED


class PlatformWheel(bdist_wheel):
    def get_tag(self):
        python, abi, platform = super().get_tag()
        return ("py3", "none", platform) if BUNDLED else (python, abi, platform)


setup(distclass=BinaryDistribution, cmdclass={"bdist_wheel": PlatformWheel}, package_data={"headct": ["py.typed", "_bundled/**/*"]})
