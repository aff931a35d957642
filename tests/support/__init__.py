"""What the Python tests share: suites, scripted upstreams, raw HTTP."""
