/** @file Settings of the site: navigation, search, formulas. */

import temml from 'temml';
import { type DefaultTheme, defineConfig } from 'vitepress';
import { at } from '../../src/at.ts';
import { paletteCss } from '../diagrams/palette.ts';
import { guide } from '../guide.ts';
import { subpaths } from '../reference.ts';

const guideSidebar: DefaultTheme.SidebarItem[] = guide().map(({ title, pages }) => ({
  text: title,
  items: pages.map((page) => ({ text: page.title, link: page.page })),
}));
const apiSidebar = [
  { text: 'API reference', items: subpaths().map(({ name, page }) => ({ text: name, link: page })) },
];

/** Anchors as code hosts make them, since the documents are read there too. */
function slugify(title: string): string {
  return title
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');
}

export default defineConfig({
  title: 'acdit',
  description: 'ACDiT in TypeScript: images and videos block by block, each block by diffusion',
  lang: 'en',
  srcDir: 'pages',
  outDir: 'dist',
  cacheDir: '.cache',
  head: [
    ['link', { rel: 'icon', href: 'data:,' }],
    ['style', {}, `:root{${paletteCss('light')}}.dark{${paletteCss('dark')}}`],
  ],
  markdown: {
    anchor: { slugify },
    config(markdown) {
      const { fence } = markdown.renderer.rules;
      markdown.renderer.rules.fence = (...args) => {
        const [tokens, index] = args;
        const token = at(tokens, index);
        if (token.info.trim() !== 'math') return fence!(...args);
        return `<div class="formula" tabindex="0">${temml.renderToString(token.content, { displayMode: true, throwOnError: true })}</div>`;
      };
    },
  },
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/guide/quick-start', activeMatch: '/guide/(?!method|architecture)' },
      { text: 'How it works', link: '/guide/method', activeMatch: '/guide/(method|architecture)' },
      { text: 'API', link: '/api/acdit', activeMatch: '/api/' },
    ],
    sidebar: { '/guide/': guideSidebar, '/source/': guideSidebar, '/api/': apiSidebar },
    outline: [2, 3],
    search: { provider: 'local' },
  },
});
