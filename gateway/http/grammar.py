"""The grammar of RFC 9110 and RFC 9112, each rule under its name, as bytes patterns.

Possessive quantifiers (``*+``, ``++``) make every pattern linear: what does not match fails at once.
"""

import re

# RFC 9110 5.6.2: token = 1*tchar
TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# RFC 9110 5.5: field-content; no CR, LF, NUL or other control but HTAB can be in a value.
FIELD_VALUE_CHAR = rb"[\t \x21-\x7e\x80-\xff]"
# RFC 9112 5: field-line = field-name ":" OWS field-value OWS; no space before the colon (5.1), no fold (5.2).
FIELD_LINE = TCHAR + rb"++:" + FIELD_VALUE_CHAR + rb"*+\r\n"
FIELD_SECTION = rb"((?:" + FIELD_LINE + rb")*+)\r\n"

FIELD = re.compile(TCHAR + rb"++:" + FIELD_VALUE_CHAR + rb"*+")  # a whole line, without its CRLF

# RFC 9112 3: request-line = method SP request-target SP HTTP-version. The target in two: up to "?", and from it;
# of versions there are two (`RequestHead.parse`).
# No form of a target has a "#": a fragment is never sent (RFC 9110 7.1). CONNECT asks for a tunnel, which a gateway
# does not give (RFC 9110 9.3.6); with a path for a target it would still turn what follows an upstream's 2xx into one.
METHOD_AND_PATH = re.compile(rb"(?!CONNECT )(" + TCHAR + rb"{1,32}+) ([\x21\x22\x24-\x3e\x40-\x7e]++)")
NOT_IN_QUERY = re.compile(rb"[^\x21\x22\x24-\x7e]")  # searched for: to find nothing costs no match object
# RFC 9112 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]; the last SP is often left out.
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9](?: " + FIELD_VALUE_CHAR + rb"*+)?)")
# RFC 9110 5.6.4: quoted-string
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
# RFC 9112 7.1.1: chunk-ext = *( ";" chunk-ext-name [ "=" chunk-ext-val ] ), without the "bad" whitespace that it lets
# a recipient take: parsers differ on it, and no client sends it.
CHUNK_EXT = rb"(?:;" + TCHAR + rb"++(?:=(?:" + TCHAR + rb"++|" + QUOTED + rb"))?+)*+"
# RFC 9112 7.1: chunk-size [ chunk-ext ] CRLF. 15 hex digits stay below 2**60.
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15}+)" + CHUNK_EXT + rb"\r\n")
TRAILER_SECTION = re.compile(FIELD_SECTION)
FRAMING_FIELD = re.compile(rb"(?i)(?:^|\n)(?:content-length|transfer-encoding|host):")

# RFC 9110 8.6: Content-Length = 1*DIGIT. 18 digits stay below 2**63.
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}+")
# RFC 9110 7.2, RFC 3986 3.2.2: uri-host [ ":" port ]
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*+)(?::[0-9]{0,5}+)?")
# What cannot be in a head whatever follows: lets a broken head be refused before its end arrives.
# RFC 9112 2.2: a bare LF, or a CR that no LF follows, or NUL (RFC 9110 5.5).
IMPOSSIBLE = re.compile(rb"(?<!\r)\n|\r[^\n]|\x00")
# RFC 9112 2.2: at least one empty line before a request-line is ignored.
EMPTY_LINES = re.compile(rb"(?:\r\n)*+")
# A prefix of paths that a proxy has stripped: absolute, and of nobody's host.
PREFIX = re.compile(rb"/(?!/)[\x21\x22\x24-\x2b\x2d-\x3e\x40-\x7e]{0,1024}+")
# A request id we take over from a client: a sane token of at most 128 characters (DESIGN 1.5).
REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=:@\-]{1,128}+")
