/** Names and addresses that only this machine can reach. A leaf: it knows no other room. */

const LOOPBACK_ADDRESS = /^127(\.\d{1,3}){3}$/;

/** True for `localhost` and its subdomains, 127.0.0.0/8 and `::1`, with or without brackets. */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host.endsWith(".localhost") ||
    LOOPBACK_ADDRESS.test(host) ||
    host === "[::1]" ||
    host === "::1"
  );
}
