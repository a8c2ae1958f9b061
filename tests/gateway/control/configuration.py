"""A small configuration for tests of the control process, the admin API and the commands."""

from pathlib import Path

CONFIG = """\
version: 1
node: {{name: node-1, data_dir: ./data}}
entry: [{{bind: "127.0.0.1:{shared}", network: internet}}]
shared_workers: 2
admin: {{bind: "127.0.0.1:{admin}"}}
store: {{url: "{store}"}}
clock: {{rate: {rate}}}
drain: {drain}
accounts:
  - {{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "{cash}"}}}}
instances:
  - {{id: acme-shared, account: acme, type: shared, region: ap-guangzhou, qps: 300}}
  - id: acme-dedicated
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    entry: [{{bind: "127.0.0.1:{dedicated}", network: vpc}}]
services:
  - id: orders
    instance: acme-shared
    qps: 100
    upstream: {{targets: [{{url: "http://127.0.0.1:{origin}"}}]}}
    routes:
      - {{id: list, methods: [GET], path: /items, qps: 50}}
      - {{id: rest, path: /*}}
  - {{id: checkout, instance: acme-dedicated, upstream: {{targets: [{{url: "http://127.0.0.1:{origin}"}}]}}}}
"""


def config_text(**values: object) -> str:
    return CONFIG.format(
        **{
            "shared": 18080,
            "dedicated": 18443,
            "admin": 18081,
            "origin": 19001,
            "rate": 1,
            "drain": "2s",
            "cash": "100.00",
            "store": "sqlite:///./data/tollgate.db",
            **values,
        }
    )


def write_config(folder: Path, **values: object) -> Path:
    path = folder / "tollgate.yaml"
    path.write_text(config_text(**values))
    return path


def service(id: str, **more: object) -> dict[str, object]:
    """A service document as it comes over the API."""
    targets = {"targets": [{"url": "http://127.0.0.1:19001"}]}
    return {"id": id, "instance": "acme-shared", "upstream": targets, **more}
