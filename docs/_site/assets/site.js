// What Material leaves to us: links to the other language after instant navigation, keys for its labels,
// wide formulas that a keyboard can scroll, and solutions that open on paper.
(function () {
  "use strict";

  // The header stays when a page is loaded instantly; the page's foot is new and knows the right addresses.
  function renewLanguageLinks() {
    document.querySelectorAll(".page-foot a[data-language]").forEach(function (fresh) {
      document.querySelectorAll('.md-header__languages a[data-language="' + fresh.dataset.language + '"]').forEach(function (link) {
        link.href = fresh.href;
      });
    });
  }

  // What is wider than its place can be reached by Tab and scrolled by the arrow keys.
  function reachWideThings() {
    document.querySelectorAll("div.arithmatex, .md-typeset__scrollwrap, .md-typeset .wide, .mermaid").forEach(function (box) {
      const wide = box.scrollWidth > box.clientWidth + 1;
      box.classList.toggle("scrolls", wide);
      if (wide) {
        box.tabIndex = 0;
      } else {
        box.removeAttribute("tabindex");
      }
    });
  }

  function onPage() {
    renewLanguageLinks();
    reachWideThings();
  }

  if (window.document$) {
    window.document$.subscribe(onPage);
  } else {
    onPage();
  }
  window.addEventListener("resize", reachWideThings);
  if (document.fonts) {
    document.fonts.ready.then(reachWideThings);
  }

  // Material opens a focused label on Enter; a button also answers to Space.
  document.addEventListener("keydown", function (event) {
    if (event.key === " " && event.target instanceof HTMLLabelElement && event.target.tabIndex === 0) {
      event.preventDefault();
      event.target.click();
    }
  });

  let opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (details) {
      details.open = true;
    });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (details) {
      details.open = false;
    });
  });
})();
