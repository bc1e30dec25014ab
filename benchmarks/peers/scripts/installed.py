"""Lists the installed packages of an environment, for `benchmarks.peers`."""

from importlib.metadata import PackageNotFoundError, version

from serve import serve


def versions(packages):
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    serve({"versions": versions})
