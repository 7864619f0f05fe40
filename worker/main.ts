import app from "./index.ts";
import { isOurs, isTunnel } from "./paths.ts";
import { enterPort } from "./port-door.ts";
import { placeOf } from "./port-place.ts";
import { tunnelRoutes } from "./tunnel-routes.ts";

export { Allowance } from "../durable-objects/allowance.ts";
export { Egress } from "../durable-objects/egress.ts";
export { Lan } from "../durable-objects/lan.ts";
export { Register } from "../durable-objects/register.ts";
export { Tunnel } from "../durable-objects/tunnel.ts";

/**
 * The entry that wrangler names. Every request comes here first (see `[assets]` in wrangler.toml): hosts of published ports
 * to their machines, sockets to the objects, the API to its routes, the rest to the static files.
 */
export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    const { pathname } = url;
    const place = placeOf(url, env.VIRGA_PORTS_HOST);
    if (place === null) return new Response("Nothing is published here.\n", { status: 404 });
    if (place) return enterPort(request, env, place);
    if (isTunnel(pathname)) return tunnelRoutes.fetch(request, env, ctx);
    return isOurs(pathname) ? app.fetch(request, env, ctx) : env.ASSETS.fetch(request);
  },
} satisfies ExportedHandler<Env>;
