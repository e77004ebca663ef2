/**
 * @file Keeps the app for when there is no network: its files, and the models and runtimes that were used. It also marks
 * the page as isolated, which WebAssembly needs for threads, where the server does not.
 */

const CACHE = 'acdit-1';

/** What is used of a service worker's pageGlobals. */
interface Surroundings {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: Lasting) => void): void;
  addEventListener(type: 'fetch', listener: (event: Fetching) => void): void;
}

interface Lasting {
  waitUntil(work: Promise<unknown>): void;
}

interface Fetching extends Lasting {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

const worker = globalThis as unknown as Surroundings;

worker.addEventListener('install', (event) => event.waitUntil(install()));
worker.addEventListener('activate', (event) => event.waitUntil(activate()));
worker.addEventListener('fetch', (event) => {
  const { method, url, headers } = event.request;
  const within = url.startsWith(worker.registration.scope);
  const isApi = new URL(url).pathname.includes('/v1/');
  if (method === 'GET' && within && !isApi && !headers.has('range')) event.respondWith(answer(event));
});

/** Keep the page, and what it names: its script and its style. */
async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  const page = await fetch('./', { cache: 'reload' });
  const text = await page.clone().text();
  await cache.put(worker.registration.scope, page);
  const named = [...text.matchAll(/(?:src|href)="(\.\/assets\/[^"]+)"/g)].flatMap(([, url]) => url ?? []);
  await cache.addAll(named);
  await worker.skipWaiting();
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
  await worker.clients.claim();
}

/** Files with a content hash in their names come from the cache, all else from the network while there is one. */
async function answer(event: Fetching): Promise<Response> {
  const { request } = event;
  const cache = await caches.open(CACHE);
  const known = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
  if (known && request.url.includes('/assets/')) return isolated(known);
  try {
    const fresh = await fetch(request);
    if (fresh.ok && fresh.status === 200) event.waitUntil(keep(cache, request, fresh.clone()));
    return isolated(fresh);
  } catch (error) {
    if (known) return isolated(known);
    throw error;
  }
}

/** Stores a response; when it is the page, removes the cached files that the page no longer uses. */
async function keep(cache: Cache, request: Request, fresh: Response): Promise<void> {
  if (!isPage(request)) return cache.put(request.url, fresh);
  await cache.put(worker.registration.scope, fresh);
  const files = (await (await fetch('./files.json')).json()) as string[];
  for (const { url } of await cache.keys()) {
    const path = url.slice(worker.registration.scope.length);
    if (path.startsWith('assets/') && !files.includes(path)) await cache.delete(url);
  }
}

/** True for the app itself, false for its files, though a browser can navigate to them too. */
function isPage({ mode, url }: Request): boolean {
  const path = new URL(url).pathname.slice(new URL(worker.registration.scope).pathname.length);
  return mode === 'navigate' && (path === '' || path === 'index.html');
}

function isolated(answer: Response): Response {
  if (answer.status === 0) return answer;
  const headers = new Headers(answer.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}
