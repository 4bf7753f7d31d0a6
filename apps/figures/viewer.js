'use strict';
// The slice viewer of a report: three planes of a scan that lies in the page (figures/viewer.c writes it).
(function () {
  // heat colours of figures/picture.c: dark red, orange, yellow
  var HEAT = [[77, 5, 26], [204, 38, 26], [250, 153, 26], [255, 250, 179]];
  var PLANES = ['sagittal', 'coronal', 'axial'];

  function bytesOf(element, name) {
    var text = element.getAttribute(name);
    if (!text) return null;
    element.removeAttribute(name);
    var raw = atob(text), out = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  function numbersOf(element, name) {
    return element.getAttribute(name).split(',').map(Number);
  }

  // HU of each stored byte: straight lines between knots
  function huOfBytes(knots) {
    var hu = [];
    for (var b = 0; b < 256; b++)
      for (var k = 1; k < knots.length; k++) {
        var p = knots[k - 1], q = knots[k];
        if (b >= p[0] && b <= q[0]) hu[b] = p[1] + (q[1] - p[1]) * (b - p[0]) / (q[0] - p[0]);
      }
    return hu;
  }

  // columns and rows of a plane; where a voxel lies that stands at column x, row y: right is on the left, the nose on
  // the left, up is up
  function sizeOf(dim, plane) {
    return [dim[plane === 0 ? 1 : 0], dim[plane === 2 ? 1 : 2]];
  }
  function voxelAt(dim, plane, cut, x, y) {
    var s = sizeOf(dim, plane), u = s[0] - 1 - x, v = s[1] - 1 - y;
    return plane === 0 ? [cut, u, v] : plane === 1 ? [u, cut, v] : [u, v, cut];
  }
  function placeOf(dim, plane, at) {
    var s = sizeOf(dim, plane), u = at[plane === 0 ? 1 : 0], v = at[plane === 2 ? 1 : 2];
    return [s[0] - 1 - u, s[1] - 1 - v];
  }

  function View(root) {
    this.root = root;
    this.dim = numbersOf(root, 'data-dim');
    this.mm = numbersOf(root, 'data-mm');
    this.scan = bytesOf(root, 'data-scan');
    this.hu = huOfBytes(root.getAttribute('data-knots').split(',').map(function (k) { return k.split(':').map(Number); }));
    this.map = bytesOf(root, 'data-map');
    this.mapDim = this.map && numbersOf(root, 'data-map-dim');
    this.mapHigh = this.map && Number(root.getAttribute('data-map-high'));
    this.at = numbersOf(root, 'data-at');
    this.windows = root.querySelector('select');
    this.opacity = root.querySelector('.opacity');
    this.cross = root.querySelector('.cross');
    this.output = root.querySelector('output');
    this.canvas = [];
    this.slider = [];
    var self = this, draw = function () { self.draw(); };
    for (var plane = 0; plane < 3; plane++) this.addPlane(plane);
    this.windows.addEventListener('change', draw);
    this.cross.addEventListener('change', draw);
    if (this.opacity) this.opacity.addEventListener('input', draw);
    root.classList.add('ready');
    this.draw();
  }

  View.prototype.addPlane = function (plane) {
    var self = this, box = this.root.querySelector('.' + PLANES[plane]), canvas = box.querySelector('canvas');
    var slider = box.querySelector('input'), s = sizeOf(this.dim, plane);
    canvas.width = s[0] * 4;
    canvas.height = Math.round(s[1] * 4 * this.mm[plane === 2 ? 1 : 2] / this.mm[plane === 0 ? 1 : 0]);
    slider.max = this.dim[plane] - 1;
    this.canvas[plane] = canvas;
    this.slider[plane] = slider;
    slider.addEventListener('input', function () {
      self.at[plane] = Number(slider.value);
      self.draw();
    });
    var down = false;
    function move(event) {
      var r = canvas.getBoundingClientRect();
      var x = Math.floor((event.clientX - r.left) / r.width * s[0]), y = Math.floor((event.clientY - r.top) / r.height * s[1]);
      if (x < 0 || y < 0 || x >= s[0] || y >= s[1]) return;
      self.at = voxelAt(self.dim, plane, self.at[plane], x, y);
      self.draw();
    }
    canvas.addEventListener('pointerdown', function (event) { down = true; move(event); });
    canvas.addEventListener('pointermove', function (event) { if (down) move(event); });
    window.addEventListener('pointerup', function () { down = false; });
    canvas.addEventListener('wheel', function (event) {
      if (document.activeElement !== canvas) return; // the page scrolls until a plane was chosen
      event.preventDefault();
      self.step(plane, event.deltaY > 0 ? -1 : 1);
    }, { passive: false });
    canvas.addEventListener('keydown', function (event) { self.key(plane, event); });
  };

  View.prototype.step = function (plane, by) {
    this.at[plane] = Math.min(Math.max(this.at[plane] + by, 0), this.dim[plane] - 1);
    this.draw();
  };

  View.prototype.key = function (plane, event) {
    var far = this.dim[plane], steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -far, End: far };
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (steps[event.key]) this.step(plane, steps[event.key]);
    else if (event.key >= '1' && event.key <= String(this.windows.options.length)) this.windows.selectedIndex = event.key - 1;
    else if (event.key === 'c') this.cross.checked = !this.cross.checked;
    else if (this.opacity && (event.key === '+' || event.key === '-'))
      this.opacity.value = Number(this.opacity.value) + (event.key === '+' ? 10 : -10);
    else return;
    event.preventDefault();
    this.draw();
  };

  View.prototype.grey = function () {
    var w = this.windows.value.split(':').map(Number), low = w[0] - w[1] / 2, table = [];
    for (var b = 0; b < 256; b++) table[b] = Math.min(Math.max((this.hu[b] - low) / w[1], 0), 1) * 255;
    return table;
  };

  function picture(size, fill) {
    var c = document.createElement('canvas');
    c.width = size[0];
    c.height = size[1];
    var context = c.getContext('2d'), image = context.createImageData(size[0], size[1]);
    for (var y = 0, n = 0; y < size[1]; y++)
      for (var x = 0; x < size[0]; x++, n += 4) fill(image.data, n, x, y);
    context.putImageData(image, 0, 0);
    return c;
  }

  function indexOf(dim, at) { return (at[0] * dim[1] + at[1]) * dim[2] + at[2]; }

  View.prototype.mapCut = function (plane) {
    return Math.floor((this.at[plane] + 0.5) / this.dim[plane] * this.mapDim[plane]);
  };

  View.prototype.drawPlane = function (plane, grey) {
    var self = this, canvas = this.canvas[plane], context = canvas.getContext('2d');
    context.imageSmoothingEnabled = true;
    context.drawImage(picture(sizeOf(this.dim, plane), function (data, n, x, y) {
      var v = grey[self.scan[indexOf(self.dim, voxelAt(self.dim, plane, self.at[plane], x, y))]];
      data[n] = data[n + 1] = data[n + 2] = v;
      data[n + 3] = 255;
    }), 0, 0, canvas.width, canvas.height);
    if (this.map && this.opacity.value > 0) {
      var cut = this.mapCut(plane);
      context.globalAlpha = this.opacity.value / 100;
      context.drawImage(picture(sizeOf(this.mapDim, plane), function (data, n, x, y) {
        var part = self.map[indexOf(self.mapDim, voxelAt(self.mapDim, plane, cut, x, y))] / 255, p = part * 3;
        var i = Math.min(Math.floor(p), 2);
        for (var c = 0; c < 3; c++) data[n + c] = HEAT[i][c] + (HEAT[i + 1][c] - HEAT[i][c]) * (p - i);
        data[n + 3] = 255 * part;
      }), 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
    }
    this.drawMarks(plane, context);
  };

  View.prototype.drawMarks = function (plane, context) {
    var canvas = this.canvas[plane], size = sizeOf(this.dim, plane), p = placeOf(this.dim, plane, this.at);
    if (this.cross.checked) {
      var x = (p[0] + 0.5) / size[0] * canvas.width, y = (p[1] + 0.5) / size[1] * canvas.height;
      context.strokeStyle = '#56b4e9';
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x, 0); context.lineTo(x, canvas.height);
      context.moveTo(0, y); context.lineTo(canvas.width, y);
      context.stroke();
    }
    context.fillStyle = '#ffffff';
    context.font = 'bold 20px sans-serif';
    context.textBaseline = 'middle';
    context.fillText(plane === 0 ? 'A' : 'R', 6, canvas.height / 2);
    context.fillText(plane === 0 ? 'P' : 'L', canvas.width - 22, canvas.height / 2);
    context.fillText(plane === 2 ? 'A' : 'S', canvas.width / 2 - 8, 14);
  };

  View.prototype.draw = function () {
    var grey = this.grey(), text = '';
    for (var plane = 0; plane < 3; plane++) {
      this.drawPlane(plane, grey);
      this.slider[plane].value = this.at[plane];
      this.canvas[plane].setAttribute('aria-label', PLANES[plane] + ' slice ' + (this.at[plane] + 1) + ' of ' + this.dim[plane]);
      text += (plane ? ', ' : '') + PLANES[plane] + ' ' + (this.at[plane] + 1);
    }
    text += ': ' + Math.round(this.hu[this.scan[indexOf(this.dim, this.at)]]) + ' HU';
    if (this.map) {
      var at = [this.mapCut(0), this.mapCut(1), this.mapCut(2)];
      text += ', map ' + Math.round(this.map[indexOf(this.mapDim, at)] / 2.55) + '% of ' + this.mapHigh.toPrecision(3);
    }
    this.output.textContent = text;
  };

  // starts the viewers of the page that do not run yet
  window.showViewers = function () {
    Array.prototype.forEach.call(document.querySelectorAll('.viewer:not(.ready)'), function (root) { new View(root); });
  };
  window.showViewers();
})();
