/** Paths of WebSockets: their answers are upgrades, which carry no headers of a page. */
const tunnels = /^\/(l2\/?|eth|eth\/raw|tcp-mux|tcp|udp|wisp\/.*)$/;
/** Paths of the API. All others are files of the page, or the page itself. */
const api = /^\/((api|v1)\/.*|healthz|readyz|version|metrics|session|dns-query|dns-json|udp-relay\/token)$/;

export const isTunnel = (pathname: string): boolean => tunnels.test(pathname);
export const isOurs = (pathname: string): boolean => api.test(pathname);
