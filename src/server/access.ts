/**
 * @file Who may use the server: clients that have its key, if they name a known host, and pages of known origins. A page
 * of another site can reach a server on loopback under its own name, once that name resolves to 127.0.0.1 (DNS
 * rebinding). Its origin is then the server's own, so neither CORS nor the type of the body stops it; only the `Host`
 * header shows it.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { Context, MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { ApiError, ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { cleanApiKey } from './key-text.ts';

/** Stands for all origins. */
const ANY = '*';

/** The API's methods. */
const METHODS = ['GET', 'HEAD', 'POST', 'DELETE'];

/** Origins that may use the server, from {@link allowedOrigins}. */
export type AllowedOrigins = ReturnType<typeof allowedOrigins>;

/**
 * Returns the origins as browsers send them, `https://example.com`: in lower case, without a slash at the end or the
 * scheme's default port. `*` stands for all.
 * @throws {ArgumentError} if one is not an origin
 */
export function allowedOrigins(texts: readonly string[] = []) {
  const origins = texts.map((text) => cleanOrigin(text.trim()));
  return { origins, any: origins.includes(ANY) };
}

function cleanOrigin(text: string): string {
  if (text === ANY) return ANY;
  if (/^[a-z][a-z\d+.-]*:\/\/[^/?#@\s*]+\/?$/i.test(text) && URL.canParse(text)) {
    const { origin, protocol, host } = new URL(text);
    // URL computes no origin for schemes other than the web's, such as an extension's.
    return origin === 'null' ? `${protocol}//${host}` : origin;
  }
  const example = /^[\w.-]+(:\d+)?\/?$/.test(text) ? text.replace(/\/$/, '') : 'example.com';
  throw new ArgumentError(
    `'${shownAddress(text)}' is not an origin, which is a scheme and a host: give https://${example} or similar, or * for all`,
  );
}

/** Returns a URL that is safe to show: without user name and password. */
function shownAddress(text: string): string {
  return printable(text.replace(/^(.*\/\/)?.*@/, '$1...@'));
}

/** Lets pages of some origins use the server, by the CORS protocol. */
export function shareWith({ origins, any }: AllowedOrigins): MiddlewareHandler {
  return cors({
    origin: any ? ANY : [...origins],
    allowMethods: METHODS,
    exposeHeaders: ['Retry-After', 'X-Request-Id'],
  });
}

/** The hosts that requests may name. Loopback names are always among them. */
export interface HostRules {
  /** In lower case, without ports; IPv6 addresses in brackets. */
  readonly names: readonly string[];
  /** What else they may name. The origin of pages is checked only with `none`. */
  readonly others: 'none' | 'addresses' | 'any';
}

/** Options that determine the {@link HostRules}. */
export interface Reach {
  /** The value of `--host`. */
  readonly host: string;
  /** The IP address that the server listens on. */
  readonly address: string;
  readonly publicUrl?: string | undefined;
  readonly allowHost?: readonly string[] | undefined;
  readonly hasKey: boolean;
}

/**
 * Returns the rules for a server: only known names on loopback, or if names are given; elsewhere IP addresses too, which
 * no other site can have as its name, and any name if clients must have a key.
 * @throws {ArgumentError} if a name is not a host
 */
export function hostRules({ host, address, publicUrl, allowHost = [], hasKey }: Reach): HostRules {
  const known = publicUrl === undefined ? allowHost : [...allowHost, new URL(publicUrl).hostname];
  const names = [...known, host].map(cleanHost);
  if (known.length > 0 || isLoopback(cleanHost(address))) return { names, others: 'none' };
  return { names, others: hasKey ? 'any' : 'addresses' };
}

/** Describes the rules for the line that says where the server listens; undefined if they are the default. */
export function describeRules({ others }: HostRules): string | undefined {
  if (others === 'addresses') return 'requests must name an IP address; allow host names with --allow-host';
  return others === 'any' ? 'requests may name any host; limit them with --allow-host' : undefined;
}

/**
 * Returns a host as it appears in URLs: in lower case, IPv6 addresses in brackets.
 * @throws {ArgumentError} if it is not a host, or has a port or scheme
 */
export function cleanHost(text: string): string {
  const isIpv6 = isIP(text) === 6;
  const hasPort = !isIpv6 && /^[^[]*:\d*$|\]:/.test(text);
  const name = hostOf(isIpv6 ? `[${text}]` : text);
  if (name !== undefined && !hasPort) return name;
  throw new ArgumentError(
    `'${shownAddress(text)}' is not a host: give a name or an IP address, without scheme, port or path`,
  );
}

/**
 * Refuses requests for other hosts, and writes by pages of other origins that have not been allowed.
 * @param rules hosts are not checked in an app that another server has mounted, unless it has rules. But forms of other
 * origins are always refused, since browsers send them anywhere without asking, unlike JSON
 */
export function checkHosts(rules: HostRules | undefined, origins: AllowedOrigins): MiddlewareHandler {
  return async (c, next) => {
    const header = c.req.header('host') ?? new URL(c.req.url).host;
    const host = hostOf(header);
    if (rules && rules.others !== 'any' && !accepts(rules, host)) {
      throw new ApiError(
        403,
        'host_not_allowed',
        `this server does not answer for the host '${printable(header)}'; start it with --allow-host or --public-url to allow it`,
      );
    }
    const origin = c.req.header('origin');
    if (origin !== undefined && isWrite(c) && !origins.any && !origins.origins.includes(origin)) {
      const page = hostOf(origin.replace(/^https?:\/\//, ''));
      const isOwn = rules?.others === 'none' ? accepts(rules, page) : !isForm(c) || page === host;
      if (!isOwn) {
        throw new ApiError(
          403,
          'origin_not_allowed',
          `pages of ${printable(origin)} may not use this server; its --cors does not list that origin`,
        );
      }
    }
    await next();
  };
}

function isForm(c: Context): boolean {
  return /^\s*multipart\/form-data/i.test(c.req.header('content-type') ?? '');
}

function isWrite(c: Context): boolean {
  return !['GET', 'HEAD', 'OPTIONS'].includes(c.req.method);
}

function accepts({ names, others }: HostRules, name: string | undefined): boolean {
  if (name === undefined) return false;
  return names.includes(name) || isLoopback(name) || (others === 'addresses' && isAddress(name));
}

/** Returns the name in `name:port`, or undefined if it is not valid. */
function hostOf(text: string): string | undefined {
  if (!/^[^/?#@\\\s*]+$/.test(text) || !URL.canParse(`http://${text}`)) return undefined;
  return new URL(`http://${text}`).hostname.replace(/\.$/, '');
}

function isLoopback(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || name === '[::1]') return true;
  return isIP(name) === 4 && name.startsWith('127.');
}

function isAddress(name: string): boolean {
  return isIP(name.replace(/^\[|\]$/g, '')) !== 0;
}

/**
 * Refuses requests without the key as a bearer token. Without a key, every request may pass.
 * @throws {ArgumentError} if the key is empty or cannot be sent: see {@link cleanApiKey}
 */
export function requireKey(key: string | undefined): MiddlewareHandler {
  const expected = key === undefined ? undefined : digest(cleanApiKey(key));
  return async (c, next) => {
    const given = /^Bearer +(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1]?.trim() ?? '';
    if (expected && !timingSafeEqual(digest(given), expected)) {
      throw new ApiError(
        401,
        'invalid_api_key',
        'this server requires its API key, in a header: Authorization: Bearer KEY',
      );
    }
    await next();
  };
}

/** Digests have the same length for all keys, so comparing them takes the same time. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
