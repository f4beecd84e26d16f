"""What docker-compose.yml and Dockerfile promise: no secret by default, nothing as root, every service watched."""

import pathlib
import re
import sys
import unittest

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


class Compose(unittest.TestCase):
    def test_it_has_the_two_services_and_each_is_watched(self):
        self.assertEqual(set(COMPOSE["services"]), {"postgres", "kabar"})
        for name, service in COMPOSE["services"].items():
            self.assertIn("test", service["healthcheck"], name)
        self.assertEqual(COMPOSE["services"]["kabar"]["depends_on"], {"postgres": {"condition": "service_healthy"}})

    def test_every_variable_is_required(self):
        variables = re.findall(r"\$\{([^}]*)\}", TEXT)
        self.assertTrue(variables)
        for variable in variables:
            self.assertRegex(variable, r"^[A-Z_]+:\?.", "no default, and a word on what to set")

    def test_every_named_volume_is_declared_and_used(self):
        mounts = [m for s in COMPOSE["services"].values() for m in s["volumes"]]
        self.assertEqual({m.split(":")[0] for m in mounts}, set(COMPOSE["volumes"]))

    def test_kabar_is_not_root_and_its_internal_listener_stays_on_this_machine(self):
        kabar = COMPOSE["services"]["kabar"]
        self.assertEqual(kabar["user"], "65532:65532")
        self.assertIn("USER 65532:65532", DOCKERFILE)
        ports = [str(port) for port in kabar["ports"]]
        self.assertTrue(all(p.startswith("127.0.0.1:") for p in ports if p.endswith(":9090")), ports)

    def test_every_setting_is_a_key_of_the_configuration(self):
        defaults = (ROOT / "crates/server/config.default.toml").read_text(encoding="utf-8")
        # Keys without a default stand there commented out.
        known = tomllib.loads(re.sub(r"(?m)^#(?=\[|[a-z_]+ =)", "", defaults))
        settings = [*COMPOSE["services"]["kabar"]["environment"], *re.findall(r"KABAR__\w+", DOCKERFILE)]
        for setting in settings:
            value = known
            for part in setting.split("__")[1:]:
                key = int(part) if part.isdigit() else part.lower()
                self.assertTrue(isinstance(key, int) or key in value, f"{setting} names no key")
                value = value[key]


if __name__ == "__main__":
    unittest.main()
