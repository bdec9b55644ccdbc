// What Material leaves to us: links to the other language after instant navigation, names for what it makes late,
// buttons for its check boxes, wide formulas that a keyboard can scroll, and solutions that open on paper.
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

  // What is wider than its place can be reached by Tab and scrolled by the arrow keys. All widths are read before
  // anything is changed, at most once a frame: on a long page each new layout costs.
  let waiting = false;
  function reachWideThings() {
    if (waiting) {
      return;
    }
    waiting = true;
    requestAnimationFrame(function () {
      waiting = false;
      const boxes = Array.from(document.querySelectorAll("div.arithmatex, .md-typeset__scrollwrap, .md-typeset figure, .mermaid"));
      const wide = boxes.map(function (box) {
        return box.scrollWidth > box.clientWidth + 1;
      });
      boxes.forEach(function (box, i) {
        if (wide[i] !== box.classList.contains("scrolls")) {
          box.classList.toggle("scrolls", wide[i]);
          box.toggleAttribute("tabindex", wide[i]);
          if (wide[i]) {
            box.tabIndex = 0;
          }
        }
      });
    });
  }

  // Material makes these while the reader scrolls: a landmark around each copy button, a note's mark without a name.
  const note = document.documentElement.lang.startsWith("zh") ? "注释" : "Note";
  function nameLateThings() {
    document.querySelectorAll("nav.md-code__nav:not([role])").forEach(function (nav) {
      nav.setAttribute("role", "presentation");
    });
    document.querySelectorAll(".md-annotation__index:not([aria-label])").forEach(function (mark) {
      const number = mark.querySelector("[data-md-annotation-id]");
      mark.setAttribute("aria-label", note + " " + (number ? number.dataset.mdAnnotationId : ""));
      mark.tabIndex = 0;
    });
  }
  new MutationObserver(nameLateThings).observe(document.body, { childList: true, subtree: true });

  function onPage() {
    renewLanguageLinks();
    reachWideThings();
    nameLateThings();
  }

  if (window.document$) {
    window.document$.subscribe(onPage);
  } else {
    onPage();
  }
  // widths change with the window, with a font that arrives, and when something folded is opened
  window.addEventListener("resize", reachWideThings);
  document.addEventListener("toggle", reachWideThings, true);
  document.fonts.addEventListener("loadingdone", reachWideThings);

  // The index (a drawer on narrow screens) and the search are Material's check boxes; these buttons press them.
  document.querySelectorAll("[data-opens]").forEach(function (button) {
    const box = document.getElementById(button.dataset.opens);
    button.addEventListener("click", function () {
      box.click();
    });
    box.addEventListener("change", function () {
      button.setAttribute("aria-expanded", String(box.checked));
      const first = document.querySelector(box.id === "__search" ? ".md-search__input" : ".index a");
      if (box.checked && first) {
        requestAnimationFrame(function () {
          first.focus();
        });
      }
    });
    document.addEventListener("keydown", function (event) {
      if (event.key === "Escape" && box.checked) {
        box.click();
        button.focus();
      }
    });
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
