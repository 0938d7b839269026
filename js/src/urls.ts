/** The server's URL. */

import { root } from "./platform.js";

/** The origin of the script at `scriptUrl`; the page's origin if that is not an HTTP URL. */
export function scriptOrigin(scriptUrl: string | null | undefined): string {
  const url = scriptUrl && /^https?:/.test(scriptUrl) ? scriptUrl : root.location?.href;
  if (url) return new URL(url).origin;
  throw new TypeError("url is missing; outside a web page it must name the server");
}

/** `url` as an absolute `http:` or `https:` URL without query, fragment and final slash. */
export function baseUrl(url: string | URL): string {
  const { protocol, host, pathname } = new URL(url, root.location?.href);
  const scheme = protocol.replace(/^ws/, "http");
  if (!/^https?:$/.test(scheme)) throw new TypeError(`url is ${url}; it must begin with http: or https:`);
  return `${scheme}//${host}${pathname.replace(/\/+$/, "")}`;
}
