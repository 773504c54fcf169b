/** `/nodes`. */
import type { Node } from "../../../api/node.ts";
import { parseNodeSpec } from "../../../api/validate/mod.ts";
import type { ConsensusStatus } from "../../consensus/consensus.ts";
import type { ManagerHandle } from "../lifecycle.ts";
import { parseFilters } from "../../control/filters.ts";
import { listNodes, NODE_FILTERS } from "../../control/lists.ts";
import { findNode } from "../../control/lookup.ts";
import { removeNode, updateNode } from "../../control/nodes.ts";
import {
  type ControlApp,
  type ControlContext,
  lookUp,
  managerForReading,
  requireManager,
  saysYes,
  sendText,
  sendTexts,
  updateRequest,
} from "../context.ts";
import { type RenderedObjects, withMore } from "../rendered.ts";
import { nodeView, presentView } from "../views/node_view.ts";

/** Adds the routes. */
export function nodeRoutes(app: ControlApp, context: ControlContext, rendered: RenderedObjects): void {
  const shown = (node: Node, manager: ManagerHandle, consensus: ConsensusStatus) =>
    withMore(rendered.text(node, nodeView), presentView(node, consensus, manager.metrics(node.ID)));
  app.get("/nodes", async (c) => {
    const filters = parseFilters(c.req.query("filters"), NODE_FILTERS);
    const manager = await managerForReading(context), status = manager.consensus.status();
    return sendTexts(c, listNodes(manager.store, filters).map((node) => shown(node, manager, status)));
  });
  app.get("/nodes/:id", async (c) => {
    const manager = await managerForReading(context), node = findNode(manager.store, c.req.param("id"));
    return sendText(c, shown(node, manager, manager.consensus.status()));
  });
  app.post("/nodes/:id/update", async (c) => {
    const { body, version, manager } = await updateRequest(c, context, "node");
    const spec = parseNodeSpec(body);
    const { ID } = await lookUp(manager, (state) => findNode(state, c.req.param("id")));
    await updateNode(manager.store, manager.consensus.status().members, ID, version, spec);
    return c.body(null, 200);
  });
  app.delete("/nodes/:id", async (c) => {
    const force = saysYes(c, "force");
    const manager = requireManager(context);
    const { ID } = await lookUp(manager, (state) => findNode(state, c.req.param("id")));
    await removeNode(manager.store, context.clock, manager.consensus, ID, force);
    return c.body(null, 200);
  });
}
