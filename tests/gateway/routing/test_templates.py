"""Path templates of public OpenAPI files as routes, each with a request that it takes and one that it does not."""

from dataclasses import dataclass

import pytest

from config.paths import parse_route_path
from gateway.routing.path import normal_path
from gateway.routing.router import RouteTree


@dataclass(frozen=True)
class _Route:
    path: bytes
    declared: str
    methods: frozenset[bytes] = frozenset()


def tree(*templates: str) -> RouteTree[_Route]:
    routes = [_Route(parse_route_path(template).encode(), template) for template in templates]
    return RouteTree(lambda: routes, lambda route: route)


def found(routes: RouteTree[_Route], path: str) -> str | None:
    route, _ = routes.find(b"GET", normal_path(path.encode()))
    return None if route is None else route.declared


_ACCOUNT = "/2010-04-01/Accounts/{AccountSid}"
_REPO = "/repos/{owner}/{repo}"
TABLE = [
    # Twilio
    ("/2010-04-01/Accounts.json", "/2010-04-01/Accounts.json", "/2010-04-01/Accounts"),
    ("/2010-04-01/Accounts/{Sid}.json", "/2010-04-01/Accounts/AC1.json", "/2010-04-01/Accounts/AC1"),
    ("/2010-04-01/Accounts/{Sid}.json", "/2010-04-01/Accounts/a.b.json", "/2010-04-01/Accounts/.json"),
    (
        f"{_ACCOUNT}/Addresses.json",
        "/2010-04-01/Accounts/AC1/Addresses.json",
        "/2010-04-01/Accounts/AC1/addresses.json",
    ),
    (
        f"{_ACCOUNT}/Addresses/{{Sid}}.json",
        "/2010-04-01/Accounts/A/Addresses/AD1.json",
        "/2010-04-01/Accounts/A/Addresses/AD1",
    ),
    (
        f"{_ACCOUNT}/AvailablePhoneNumbers/{{CountryCode}}/Local.json",
        "/2010-04-01/Accounts/A/AvailablePhoneNumbers/US/Local.json",
        "/2010-04-01/Accounts/A/AvailablePhoneNumbers/US/Mobile.json",
    ),
    (
        f"{_ACCOUNT}/Calls/{{CallSid}}/Recordings/{{Sid}}.json",
        "/2010-04-01/Accounts/A/Calls/C/Recordings/R.json",
        "/2010-04-01/Accounts/A/Calls/C/Recordings/R.xml",
    ),
    (
        f"{_ACCOUNT}/Calls/{{CallSid}}/Streams/{{Sid}}.json",
        "/2010-04-01/Accounts/A/Calls/C/Streams/S.json",
        "/2010-04-01/Accounts/A/Calls/C/Streams",
    ),
    (
        f"{_ACCOUNT}/Conferences/{{ConferenceSid}}/Participants/{{CallSid}}.json",
        "/2010-04-01/Accounts/A/Conferences/F/Participants/C.json",
        "/2010-04-01/Accounts/A/Conferences/F/Participants/C.json/",
    ),
    (
        f"{_ACCOUNT}/Messages/{{MessageSid}}/Media/{{Sid}}.json",
        "/2010-04-01/Accounts/A/Messages/M/Media/E.json",
        "/2010-04-01/Accounts/A/Messages/M/Media/E.json/x",
    ),
    (
        f"{_ACCOUNT}/Recordings/{{ReferenceSid}}/AddOnResults/{{AddOnResultSid}}/Payloads/{{Sid}}/Data.json",
        "/2010-04-01/Accounts/A/Recordings/R/AddOnResults/X/Payloads/P/Data.json",
        "/2010-04-01/Accounts/A/Recordings/R/AddOnResults/X/Payloads//Data",
    ),
    (
        f"{_ACCOUNT}/SIP/Domains/{{DomainSid}}/Auth/Calls/CredentialListMappings/{{Sid}}.json",
        "/2010-04-01/Accounts/A/SIP/Domains/D/Auth/Calls/CredentialListMappings/S.json",
        "/2010-04-01/Accounts/A/SIP/Domains/D/Auth/CredentialListMappings/S.json",
    ),
    (
        f"{_ACCOUNT}/Usage/Records/LastMonth.json",
        "/2010-04-01/Accounts/A/Usage/Records/LastMonth.json",
        "/2010-04-01/Accounts/A/Usage/Records/ThisMonth.json",
    ),
    (
        "/v1/Services/{ServiceSid}/Channels/{ChannelSid}/Members/{Sid}",
        "/v1/Services/I/Channels/C/Members/M",
        "/v1/Services/I/Channels/C/Members",
    ),
    # GitHub
    ("/", "/", "/x"),
    ("/advisories/{ghsa_id}", "/advisories/GHSA-1", "/advisories"),
    ("/app/hook/deliveries/{delivery_id}/attempts", "/app/hook/deliveries/1/attempts", "/app/hook/deliveries/1"),
    (
        "/enterprises/{enterprise}/code-security/configurations/{configuration_id}",
        "/enterprises/e/code-security/configurations/1",
        "/enterprises/e/code-security/configurations/1/x",
    ),
    ("/gists/{gist_id}/{sha}", "/gists/1/abc", "/gists/1"),
    (
        "/orgs/{org}/actions/runners/{runner_id}/labels/{name}",
        "/orgs/o/actions/runners/1/labels/gpu",
        "/orgs/o/actions/runners/1/labels",
    ),
    (f"{_REPO}/compare/{{basehead}}", "/repos/o/r/compare/main...dev", "/repos/o/r/compare/main/dev"),
    (f"{_REPO}/compare/{{base}}...{{head}}", "/repos/o/r/compare/main...dev", "/repos/o/r/compare/main..."),
    (f"{_REPO}/contents/{{path+}}", "/repos/o/r/contents/src/a/b.py", "/repos/o/r/contents"),
    (f"{_REPO}/git/ref/{{ref}}", "/repos/o/r/git/ref/main", "/repos/o/r/git/refs/main"),
    (f"{_REPO}/git/trees/{{tree_sha}}", "/repos/o/r/git/trees/abc", "/repos/o/r/git/tree/abc"),
    (
        f"{_REPO}/issues/{{issue_number}}/labels/{{name}}",
        "/repos/o/r/issues/1/labels/a%20bug",
        "/repos/o/r/issues/1/labels/a/bug",
    ),
    (f"{_REPO}/releases/tags/{{tag}}", "/repos/o/r/releases/tags/v1.0", "/repos/o/r/releases/tags/"),
    (f"{_REPO}/tarball/{{ref}}", "/repos/o/r/tarball/v1", "/repos/o/r/zipball/v1"),
    (f"{_REPO}/{{archive_format}}/{{ref}}", "/repos/o/r/zipball/v1", "/repos/o/r/zipball"),
    ("/teams/{team_id}/memberships/{username}", "/teams/1/memberships/me", "/teams/1/memberships/me/too"),
    # Google: verbs, and templates of several segments
    ("/v1/{name=projects/*}", "/v1/projects/p", "/v1/projects/p/q"),
    ("/v1/{name=projects/*/locations/*}", "/v1/projects/p/locations/l", "/v1/projects/p/locations"),
    ("/v1/{parent=projects/*/locations/*}/clusters", "/v1/projects/p/locations/l/clusters", "/v1/projects/p/clusters"),
    (
        "/v1/{name=projects/*/locations/*/clusters/*}:startIpRotation",
        "/v1/projects/p/locations/l/clusters/c:startIpRotation",
        "/v1/projects/p/locations/l/clusters/c:stop",
    ),
    ("/v1/{name=operations/**}", "/v1/operations/a/b/c", "/v1/operation/a"),
    ("/v1/{name=operations/**}:cancel", "/v1/operations/a/b:cancel", "/v1/operations/a/b"),
    ("/v1/{name=**}", "/v1/anything/at/all", "/v2/anything"),
    (
        "/v1/{resource=projects/*/topics/*}:getIamPolicy",
        "/v1/projects/p/topics/t:getIamPolicy",
        "/v1/projects/p/topics/:getIamPolicy",
    ),
    (
        "/v1/projects/{projectId}/databases/{databaseId}/documents:batchGet",
        "/v1/projects/p/databases/d/documents:batchGet",
        "/v1/projects/p/databases/d/documents",
    ),
    ("/v1/projects/{projectId}:lookup", "/v1/projects/p:lookup", "/v1/projects/p"),
    ("/v1/images:annotate", "/v1/images:annotate", "/v1/images"),
    ("/v3/{name+}", "/v3/projects/p/zones/z", "/v3/"),
    ("/storage/v1/b/{bucket}/o/{object}", "/storage/v1/b/x/o/a%2Eb", "/storage/v1/b/x/o/a/b"),
    # AWS API Gateway
    ("/{proxy+}", "/any/thing", "/"),
    ("/pets/{proxy+}", "/pets/1", "/pets"),
    ("/{stage}/pets/{petId}", "/prod/pets/1", "/prod/pet/1"),
    # Kubernetes
    (
        "/api/v1/namespaces/{namespace}/pods/{name}/log",
        "/api/v1/namespaces/d/pods/p/log",
        "/api/v1/namespaces/d/pods/p/exec",
    ),
    (
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
        "/apis/apps/v1/namespaces/d/deployments/x/scale",
        "/apis/apps/v1/namespaces/d/deployments/scale",
    ),
    (
        "/api/v1/namespaces/{namespace}/services/{name}/proxy/{path+}",
        "/api/v1/namespaces/d/services/s/proxy/a/b",
        "/api/v1/namespaces/d/services/s/proxy",
    ),
    # Stripe, Slack, Spotify, Discord, Docker, Jira, Graph
    ("/v1/customers/{customer}/sources/{id}", "/v1/customers/cus_1/sources/src_1", "/v1/customers/cus_1/sources"),
    ("/v1/invoices/upcoming/lines", "/v1/invoices/upcoming/lines", "/v1/invoices/upcoming"),
    ("/chat.postMessage", "/chat.postMessage", "/chat/postMessage"),
    ("/api/webhooks/{webhook.id}/{webhook.token}", "/api/webhooks/1/tok", "/api/webhooks/1"),
    ("/channels/{channel-id}/messages/{message-id}", "/channels/1/messages/2", "/channels/1/message/2"),
    ("/containers/{id}/json", "/containers/abc/json", "/containers/json"),
    ("/v2/{name+}", "/v2/library/alpine/manifests/latest", "/v2"),
    (
        "/rest/api/3/issue/{issueIdOrKey}/properties/{propertyKey}",
        "/rest/api/3/issue/K-1/properties/p",
        "/rest/api/3/issue/K-1/property/p",
    ),
    ("/users('{id}')/messages", "/users('me')/messages", "/users('')/messages"),
    (
        "/drives/{drive-id}/items/{driveItem-id}/workbook/worksheets/{worksheet-id}/range(address='{address}')",
        "/drives/d/items/i/workbook/worksheets/w/range(address='A1:B2')",
        "/drives/d/items/i/workbook/worksheets/w/range(address='')",
    ),
    ("/maps/{latitude},{longitude},{zoom}z", "/maps/1.5,2.5,7z", "/maps/1.5,2.5z"),
    ("/files/{name}.{format}", "/files/a.tar.gz", "/files/a."),
    ("/tiles/{z}/{x}/{y}@2x.png", "/tiles/1/2/3@2x.png", "/tiles/1/2/3.png"),
    # beyond ASCII, and escapes in any spelling
    ("/straße/{größe}", "/stra%c3%9fe/1", "/strasse/1"),
    ("/搜索/{query}.json", "/%E6%90%9C%E7%B4%A2/x.json", "/%E6%90%9C/x.json"),
    ("/a b/{c}", "/a%20b/1", "/a+b/1"),
    ("/%7Euser/%41/{x}", "/~user/A/1", "/user/A/1"),
]


@pytest.mark.parametrize("template, taken, other", TABLE)
def test_a_template_of_a_public_api_takes_its_paths_and_no_other(template: str, taken: str, other: str) -> None:
    assert found(tree(template), taken) == template
    assert found(tree(template), other) is None


def test_all_templates_side_by_side_take_their_own_paths() -> None:
    """Those that more than one fits go to the most literal one."""
    templates = list(
        dict.fromkeys(template for template, _, _ in TABLE if template not in ("/{proxy+}", "/v1/{name=**}"))
    )
    routes = tree(*templates)
    wrong = {
        (template, taken, now)
        for template, taken, _ in TABLE
        if template in templates and (now := found(routes, taken)) != template
    }
    assert wrong == {
        # Each of them is taken by a sibling that says more of the path.
        (f"{_REPO}/compare/{{basehead}}", "/repos/o/r/compare/main...dev", f"{_REPO}/compare/{{base}}...{{head}}"),
    }


@pytest.mark.parametrize(
    "path, template",
    [
        ("/items/special.json", "/items/special.json"),
        ("/items/a.v2.json", "/items/{id}.v2.json"),
        ("/items/a.json", "/items/{id}.json"),
        ("/items/v-1.json", "/items/v-{n}.json"),
        ("/items/a", "/items/{id}"),
        ("/items/a/b:stop", "/items/*:stop"),
        ("/items/a/b", "/items/{rest+}"),
        ("/items/", "/items/*"),
        ("/items", "/items/*"),
    ],
)
def test_what_is_more_literal_comes_first_in_any_order_of_writing(path: str, template: str) -> None:
    templates = [
        "/items/*",
        "/items/{rest+}",
        "/items/*:stop",
        "/items/{id}",
        "/items/{id}.json",
        "/items/v-{n}.json",
        "/items/{id}.v2.json",
        "/items/special.json",
    ]
    assert found(tree(*templates), path) == template
    assert found(tree(*reversed(templates)), path) == template
