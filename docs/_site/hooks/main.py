"""What happens to the site while MkDocs builds it: the one hook that mkdocs.yml names, in the order of its events.

The work is done by the other files of this folder, as functions that know nothing of MkDocs where possible.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections import defaultdict
from pathlib import Path

import nbformat
from jinja2 import FileSystemBytecodeCache
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority, get_plugin_logger
from mkdocs.structure.files import File, InclusionLevel
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from docs._site.hooks import (  # noqa: E402
    again,
    api,
    assets,
    figures,
    fonts,
    glossary,
    indexes,
    labs,
    languages,
    mathematics,
    notebooks,
    pages,
    programs,
    proofs,
    repository,
    results,
    serving,
    stamp,
    styles,
)

log = get_plugin_logger("dlguide")
others = languages.Others()
memory = again.Memory()
built: dict[str, dict[str, indexes.Entry]] = defaultdict(dict)  # language -> source path -> page
texts: dict[str, dict[str, str]] = defaultdict(dict)  # language -> source path -> Markdown for llms.txt
order: list[str] = []  # the pages of the nav
broken: dict[str, str] = {}  # labs that failed while serving: not run again until they change


def on_startup(command, dirty):
    others.command = command


def on_config(config):
    lang = config.extra.setdefault("lang", languages.default(config))
    if others.command == "serve":
        languages.forgiving(config)
        if not built and (sentence := serving.taken(config.dev_addr.host, config.dev_addr.port)):
            raise PluginError(sentence)
    if sentence := assets.missing():
        raise PluginError(sentence)
    repo = repository.address(ROOT)
    config.repo_url = repo or None
    config.edit_uri = None  # edit links are set per page: a lab's source is not where its page is
    # mkdocs-jupyter deletes every cache entry that the current build did not use
    config.plugins["mkdocs-jupyter"].config["cache_dir"] = str(labs.CACHE.parent / "mkdocs-jupyter" / lang)
    for fault in glossary.faults(glossary.load(ROOT / "docs" / "glossary.yml")):
        log.warning(fault)
    built[lang].clear()
    texts[lang].clear()
    return config


@event_priority(100)  # before mkdocs-jupyter, which turns the labs into pages
def on_files(files, config):
    lang = config.extra["lang"]
    for page in list(files.documentation_pages()):
        path = page.src_uri.removesuffix(".md")
        text = page.content_string
        names = mathematics.named(text)
        source = proofs.source_of(ROOT, path)
        if names and source:
            content = proofs.page(lang, path, pages.title(text), source, names)
            add(files, File.generated(config, proofs.location(path), content=content))
    for path in sorted((ROOT / "docs" / "labs").glob("*.py")):
        notebook = lab(path)
        target = labs.CACHE / lang / "labs" / f"{path.stem}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        text = nbformat.writes(labs.in_language(notebook, lang))
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")
        # a file with a folder of its own, not File.generated(): mkdocs-jupyter asks for src_dir
        name, folder = f"labs/{path.stem}.ipynb", str(labs.CACHE / lang)
        files.append(File(name, folder, config.site_dir, config.use_directory_urls))
    if lang == languages.default(config):
        for address, what in assets.collect():
            if isinstance(what, str):
                files.append(File.generated(config, address, content=what))
            else:
                files.append(File.generated(config, address, abs_src_path=str(what)))
    return files


def add(files, file):
    file.inclusion = InclusionLevel.NOT_IN_NAV
    files.append(file)


def lab(path):
    """Return a lab with its outputs; one that fails is shown without them, and is a warning."""
    notebook = labs.read(path)
    for fault in labs.faults(notebook):
        log.warning(f"docs/labs/{path.name}: {fault}")
    key = labs.digest(notebook)
    try:
        if key in broken:
            raise labs.LabError(broken[key])
        off = os.environ.get("DLGUIDE_LABS") == "off"
        return labs.executed(path, log.info, hurry=off or others.command == "serve", never=off)
    except labs.LabError as error:
        broken[key] = str(error)
        log.warning(str(error))
        return notebook


def on_nav(nav, config, files):
    """Note the order of the pages, and keep compiled templates between builds: a tenth of the time of a build."""
    order[:] = [page.file.src_uri for page in nav.pages]
    cache = labs.CACHE.parent / "jinja"
    cache.mkdir(parents=True, exist_ok=True)
    templates = FileSystemBytecodeCache(str(cache))
    config.plugins["mkdocstrings"].get_handler("python").env.bytecode_cache = templates
    return nav


def on_env(env, config, files):
    env.bytecode_cache = FileSystemBytecodeCache(str(labs.CACHE.parent / "jinja"))
    if others.command == "serve":
        memory.search(config.plugins["material/search"].search_index, config.extra["lang"])
    return env


def render(page, config, files, text):
    if others.command == "serve":
        memory.render(page, config, files, text)
    else:
        Page.render(page, config, files)


def on_page_markdown(markdown, page, config, files):
    path, lang = posixpath.splitext(page.file.src_uri)[0], config.extra["lang"]
    if page.file.src_uri.endswith(".ipynb"):
        return markdown
    if not page.file.src_uri.startswith(proofs.FOLDER):
        page.edit_url = repository.edit(config.repo_url or "", f"docs/{lang}/{page.file.src_uri}")
    options = config.mdx_configs["pymdownx.snippets"]
    markdown, missing = pages.without_missing(pages.lab_links(markdown), [ROOT / p for p in options["base_path"]])
    for include in missing:
        log.warning(f"{page.file.src_uri}: there is no {include} to include (outputs are written by `make outputs`)")
    source = page.file.src_uri
    markdown = results.shown(markdown, ROOT / "docs" / "results", lang, lambda said: log.warning(f"{source}: {said}"))
    markdown = markdown.replace(glossary.MARK, glossary.page(glossary.load(ROOT / "docs" / "glossary.yml"), lang))
    text = pages.expanded(markdown, options)
    texts[lang][page.file.src_uri] = api.expanded(text, ROOT / "src")
    recorded = ROOT / "snippets" / f"{path}.out"
    if recorded.exists():
        page.meta["stamp"] = stamp.read(recorded.read_text("utf-8"))
    page.render = lambda config, files: render(page, config, files, text)
    return markdown


def on_page_content(html, page, config, files):
    src, lang = page.file.src_uri, config.extra["lang"]
    path = posixpath.splitext(src)[0]

    def complain(message):
        log.warning(f"{src}: {message}")

    if src.endswith(".ipynb"):
        html = lab_page(html, page, config, files, complain)
    if src.startswith("reference/"):
        html = pages.plain_signatures(html)
    html = pages.with_figures(html, path, ROOT / "snippets", complain)
    html = mathematics.hidden_from_search(html)
    there = files.get_file_from_path(proofs.location(path))
    tests = proofs.proven(proofs.source_of(ROOT, path)) if there else {}
    href = get_relative_url(there.url, page.url) if there else ""
    html = mathematics.sealed(html, lang, tests, href, complain)
    program = programs.pieces(html)
    if programs.blocks(program):
        stem = posixpath.basename(path)
        page.meta["downloads"] = {"py": f"{stem}.py", "ipynb": f"{stem}.ipynb"}
        page.meta["program"] = program
    if page.meta.get("kind") not in ("reference", "home"):
        entries = glossary.load(ROOT / "docs" / "glossary.yml")
        html = glossary.linked(html, entries, lang, get_relative_url("glossary/", page.url))
    built[lang][src] = indexes.Entry(page.url, page.title or "", page.meta.get("description", ""), section(page))
    html, page.meta["drawings"] = figures.set_aside(html)
    return html


def section(page):
    """Return the title of the nav section of a page, or its own if it is in none."""
    return page.parent.title if page.parent else page.title


def lab_page(html, page, config, files, complain):
    """Render a notebook as a page: its text and code by the site's Markdown, its outputs from nbconvert's page."""
    lang = config.extra["lang"]
    name = posixpath.basename(posixpath.splitext(page.file.src_uri)[0])
    notebook = nbformat.read(page.file.abs_src_path, 4)
    outputs = notebooks.outputs(html, notebooks.alternatives(notebook.cells, lang, complain))
    page.markdown = notebooks.markdown(notebook.cells)
    page.meta = labs.front_matter(labs.read(ROOT / "docs" / "labs" / f"{name}.py"), lang)
    page.meta["stamp"] = notebook.metadata.get("stamp")
    page.edit_url = repository.edit(config.repo_url or "", f"docs/labs/{name}.py")
    render(page, config, files, page.markdown)  # MkDocs' own: links checked, anchors known, a table of contents
    page.title = page._title_from_render or name
    texts[lang][page.file.src_uri] = notebooks.filled(page.markdown, notebooks.texts(notebook.cells))
    return f'<div class="notebook">{notebooks.filled(page.content, outputs)}</div>'


def on_post_page(output, page, config):
    src = page.file.src_uri
    folder = Path(page.file.abs_dest_path).parent
    if program := page.meta.pop("program", None):
        folder.mkdir(parents=True, exist_ok=True)
        files = page.meta["downloads"]
        (folder / files["py"]).write_text(programs.as_script(program), "utf-8")
        (folder / files["ipynb"]).write_text(programs.as_notebook(program), "utf-8")
    # after the search plugin has read the page: KaTeX's markup is ten times the text
    output = figures.put_back(output, page.meta.pop("drawings", []))
    output = mathematics.rendered(output, lambda message: log.warning(f"{src}: {message}"))
    if 'class="katex' in output:
        link = get_relative_url("assets/katex/katex.min.css", page.url)
        output = output.replace("</head>", f'<link rel="stylesheet" href="{link}"></head>', 1)
    if "doc doc-" not in output:  # only the reference pages show what mkdocstrings wrote
        output = re.sub(r'\s*<link rel="stylesheet" href="[^"]*_mkdocstrings\.css">', "", output)
    return on_post_template(output, "page.html", config)


def on_post_template(output_content, template_name, config):
    if not template_name.endswith(".html"):
        return output_content
    return languages.shared(output_content, config.extra["languages"][config.extra["lang"]]["dir"])


def on_post_build(config):
    if config.extra["lang"] != languages.default(config):
        return
    site, spec = Path(config.site_dir), config.extra["languages"]
    assets.patch(site, log.warning)
    for lang in languages.wanted(spec):
        if lang != config.extra["lang"]:
            log.info(f"{spec[lang]['name']}: /{spec[lang]['dir']}")
            others.build(config, lang, labs.CACHE.parent / "serve" / lang)
    here = [lang for lang in languages.wanted(spec) if built[lang]]
    for lang in here:
        for src in sorted(set(built[here[0]]) ^ set(built[lang])):
            log.warning(f"{src} is not in both {here[0]} and {lang}: a page needs its translation")
    root = config.site_url or "/"
    roots = {lang: root + spec[lang]["dir"] for lang in here}
    indexes.write_sitemap(site, {lang: [entry.url for entry in built[lang].values()] for lang in here}, roots)
    for lang in here:
        head = indexes.Head(
            config.site_name, spec[lang].get("site_description") or config.site_description, roots[lang],
            {spec[other]["name"]: address for other, address in roots.items() if other != lang})
        indexes.write_texts(site / spec[lang]["dir"], head, built[lang], texts[lang], order)
    if others.command != "serve":  # on this machine whole fonts and style sheets cost nothing
        fonts.shrink(site, labs.CACHE.parent / "fonts")
        styles.shrink(site)
