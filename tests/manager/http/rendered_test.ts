import assert from "node:assert/strict";
import { jsonOf, RenderedObjects, withMore } from "../../../manager/http/rendered.ts";

interface Thing {
  ID: string;
}

/** A view that counts how often it is asked. */
function countingView() {
  const seen: string[] = [];
  const view = ({ ID }: Thing) => {
    seen.push(ID);
    return { ID, Shown: "<a>" };
  };
  return { seen, view };
}

Deno.test("RenderedObjects: renders an object once for each view, as Go would write it", () => {
  const rendered = new RenderedObjects(), thing = { ID: "t1" };
  const first = countingView(), other = (each: Thing) => ({ Other: each.ID });
  for (let nth = 0; nth < 3; nth++) {
    assert.equal(rendered.text(thing, first.view), '{"ID":"t1","Shown":"\\u003ca\\u003e"}');
    assert.equal(rendered.text(thing, other), '{"Other":"t1"}');
  }
  assert.deepEqual(first.seen, ["t1"]);
});

Deno.test("RenderedObjects: shows the new object after a change", () => {
  const rendered = new RenderedObjects(), { view } = countingView();
  const before = { ID: "t1" }, after = { ...before, ID: "t2" };
  assert.notEqual(rendered.text(before, view), rendered.text(after, view));
});

Deno.test("RenderedObjects: keeps what is asked for and forgets the rest, within its limit", () => {
  const { seen, view } = countingView();
  const things = Array.from({ length: 50 }, (_, nth) => ({ ID: `thing-${nth}` }));
  const length = jsonOf(view(things[10]!)).length;
  // A generation holds ten.
  const rendered = new RenderedObjects(10 * length);
  const favourite = things[0]!;
  seen.length = 0;
  for (const thing of things) {
    rendered.text(thing, view);
    rendered.text(favourite, view);
  }
  assert.equal(seen.filter((id) => id === favourite.ID).length, 1, "asked for all the time");
  seen.length = 0;
  for (const thing of things.toReversed()) rendered.text(thing, view);
  const kept = things.length - seen.length;
  assert.ok(kept >= 9 && kept <= 20, `${kept} of ${things.length} were kept`);
});

Deno.test("RenderedObjects: an object larger than a generation is shown all the same", () => {
  const rendered = new RenderedObjects(4), { view } = countingView();
  const thing = { ID: "t1" };
  assert.equal(rendered.text(thing, view), rendered.text(thing, view));
});

Deno.test("RenderedObjects: what is of the moment is added to a text, or nothing", () => {
  const more = { ManagerStatus: undefined, Metrics: { Load: 1 } };
  assert.equal(withMore('{"ID":"n1"}', more), '{"ID":"n1","Metrics":{"Load":1}}');
  assert.equal(withMore('{"ID":"n1"}', { Metrics: undefined }), '{"ID":"n1"}');
});
