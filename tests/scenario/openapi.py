"""Holds answers of the API against the description that it serves of itself."""
import copy
import re

from jsonschema import Draft202012Validator, FormatChecker, RefResolver
from jsonschema.exceptions import best_match

ITEMS = 100   # of a long list so many are looked at


def for_answers(schema):
    """Members that are only ever written are not required of an answer, and must not be in one."""
    if isinstance(schema, list):
        return [for_answers(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: for_answers(value) for name, value in schema.items()}
    members = schema.get("properties")
    if isinstance(members, dict):
        hidden = {name for name, member in members.items() if isinstance(member, dict) and member.get("writeOnly")}
        schema["required"] = [name for name in schema.get("required", []) if name not in hidden]
        schema["properties"] = {name: False if name in hidden else member for name, member in members.items()}
    return schema


class Description:
    """The OpenAPI file of an edge."""

    def __init__(self, document):
        self.document = for_answers(copy.deepcopy(document))
        self.paths = [(re.compile("^" + re.sub(r"\{(account|zone|id|item)\}", "[0-9a-f]{32}", re.sub(r"\{(phase|version|rule)\}", "[\\\\w.-]+", path)) + "$"),
                       path) for path in document["paths"]]
        self.resolver = RefResolver("", self.document)
        self.validators = {}
        self.seen = set()   # operations that have been held against it

    def operation(self, method, path):
        path = path.split("?")[0]
        for pattern, template in self.paths:
            found = self.document["paths"][template].get(method.lower()) if pattern.match(path) else None
            if found:
                return template, found
        return None, None

    def validator(self, template, method, status, schema):
        key = template, method, status
        if key not in self.validators:
            self.validators[key] = Draft202012Validator(schema, resolver=self.resolver, format_checker=FormatChecker())
        return self.validators[key]

    def check(self, method, path, reply):
        """Raises AssertionError where an answer is not as described."""
        template, operation = self.operation(method, path)
        if not operation or (reply.status == 304 and not reply.body):
            return
        responses = operation["responses"]
        described = responses.get(str(reply.status))
        if described is None:
            assert reply.status >= 400, f"{method} {template}: status {reply.status} is not described"
            described = self.document["components"]["responses"]["Error"]
        content = described.get("content", {}).get("application/json")
        if not content:
            return
        answer = reply.json
        if isinstance(answer.get("result"), list):
            answer = {**answer, "result": answer["result"][:ITEMS]}
        error = best_match(self.validator(template, method, str(reply.status), content["schema"]).iter_errors(answer))
        assert not error, f"{method} {template} is not as described: /{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        self.seen.add(f"{method} {template}")
