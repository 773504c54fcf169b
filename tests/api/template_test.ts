import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError } from "../../api/errors.ts";
import { expand, type TemplateContext } from "../../api/template.ts";

const context: TemplateContext = {
  Service: { ID: "s1", Name: "web", Labels: { tier: "front", "a.b": "dotted", __proto__x: "y" } },
  Node: { ID: "n1", Hostname: "pi-3", Platform: { Architecture: "arm64", OS: "linux" } },
  Task: { ID: "t1", Name: "web.2.t1", Slot: 2 },
  Var: { port: "80", odd: "{{.Node.ID}}" },
};

Deno.test("Template: placeholders are filled in as Docker does", () => {
  const cases: Record<string, string> = {
    "plain }} text": "plain }} text",
    "{{.Service.Name}}-{{ .Service.ID }}": "web-s1",
    "{{.Node.Hostname}} {{.Node.ID}} {{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}":
      "pi-3 n1 linux/arm64",
    "{{.Task.Name}} {{.Task.ID}} {{.Task.Slot}}": "web.2.t1 t1 2",
    '{{.Service.Labels.tier}} {{index .Service.Labels "a.b"}}{{index .Service.Labels "none"}}':
      "front dotted",
    '{{join "-" .Service.Name .Task.Slot "x"}}': "web-2-x",
    '{{printf "%s:%03v %d%%" .Service.Name .Task.Slot 7}}': "web:002 7%",
    '{{.Task.Slot | printf "%03v"}}': "002",
    '{{1}}{{`raw \\n`}}{{"q\\""}}{{/* nothing */}}{{len .Service.Name}}': '1raw \\nq"3',
    "a {{- .Task.Slot -}} b": "a2b",
    '{{ "}}" }}': "}}",
    "{{.Var.port}}{{.Var.odd}}": "80{{.Node.ID}}",
  };
  for (const [template, wanted] of Object.entries(cases)) {
    assert.equal(expand(template, context), wanted, template);
  }
});

Deno.test("Template: what is no template, or names what is not there, is refused", () => {
  const cases: Record<string, RegExp> = {
    "{{": /unclosed action/,
    "{{.Service": /unclosed action/,
    '{{"abc}}': /unterminated quoted string/,
    "{{}}": /missing value for command/,
    "{{.Foo}}": /can't evaluate field Foo/,
    "{{.service.Name}}": /can't evaluate field service/,
    "{{.Service.Name.X}}": /can't evaluate field X/,
    "{{.Service.Labels.none}}": /can't evaluate field none/,
    "{{.Service.Labels.constructor}}": /can't evaluate field constructor/,
    "{{.Service.Labels.__proto__}}": /can't evaluate field __proto__/,
    "{{.Task}}": /name one of them/,
    "{{.}}": /name one of them/,
    "{{.Var.none}}": /can't evaluate field none/,
    '{{index .Var "port"}}': /write .Var.NAME/,
    "{{foo}}": /function "foo" not defined/,
    "{{toString}}": /function "toString" not defined/,
    '{{env "X"}}': /function "env" not defined/,
    "{{if .Task.Slot}}y{{end}}": /function "if" not defined/,
    "{{range .Service.Labels}}{{end}}": /function "range" not defined/,
    "{{$x}}": /unexpected "\$"/,
    '{{"a" "b"}}': /can't give argument to non-function "a"/,
    '{{printf "%x" 1}}': /printf knows/,
    '{{printf "%s"}}': /no value for %s/,
    "{{join}}": /join wants a separator/,
    ['{{printf "%999s" "x"}}'.repeat(100)]: /becomes longer/,
  };
  for (const [template, wanted] of Object.entries(cases)) {
    assert.throws(() => expand(template, context), (thrown) => {
      assert.ok(thrown instanceof CoveyError && thrown.code === "invalid_argument", template);
      assert.match(thrown.message, wanted, template);
      return true;
    });
  }
});

Deno.test("Template: any text is expanded or refused, never more", () => {
  const pieces = [
    "{{",
    "}}",
    ".",
    "Service",
    "Name",
    '"',
    "`",
    "|",
    "join",
    " ",
    "-",
    "/*",
    "*/",
    "1",
    "é",
    "\n",
  ];
  const text = fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((all) => all.join(""));
  fc.assert(
    fc.property(fc.oneof(text, fc.string()), (template) => {
      try {
        assert.equal(typeof expand(template, context), "string");
      } catch (thrown) {
        assert.ok(thrown instanceof CoveyError, String(thrown));
      }
    }),
    { numRuns: 2000 },
  );
});
