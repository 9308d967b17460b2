// Draws the meshes of a page: one canvas behind it, a part of the canvas for each element .mesh.
(function () {
  'use strict';
  const views = [];
  let renderer = null;
  let isDue = false;

  function numbers(text, Type) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return new Type(bytes.buffer);
  }

  // Vertices are whole numbers of 16 bits in the box from `low` to `high`.
  function geometryOf(data) {
    const cells = numbers(data.vertices, Uint16Array);
    const places = new Float32Array(cells.length);
    let size = 0;
    for (let axis = 0; axis < 3; axis++) size = Math.max(size, data.high[axis] - data.low[axis]);
    for (let i = 0; i < cells.length; i++) {
      const axis = i % 3;
      const extent = data.high[axis] - data.low[axis];
      places[i] = ((cells[i] / 65535 - 0.5) * extent) / (size || 1);
    }
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute('position', new THREE.BufferAttribute(places, 3));
    const wide = cells.length / 3 > 65535;
    geometry.setIndex(new THREE.BufferAttribute(
      numbers(data.triangles, wide ? Uint32Array : Uint16Array), 1));
    return geometry;
  }

  function open(view) {
    const data = JSON.parse(view.element.querySelector('script').textContent);
    const geometry = geometryOf(data);
    const scene = new THREE.Scene();
    const body = new THREE.Group();
    body.add(new THREE.Mesh(geometry, new THREE.MeshStandardMaterial({
      color: 0x7f9fc4, roughness: 0.8, flatShading: true, side: THREE.DoubleSide,
      polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 })));
    if (data.edges) {
      body.add(new THREE.LineSegments(new THREE.EdgesGeometry(geometry, 1),
        new THREE.LineBasicMaterial({ color: 0x26364a })));
    }
    if (data.up === 'z') body.rotation.x = -Math.PI / 2;
    scene.add(body, new THREE.HemisphereLight(0xffffff, 0x6f7782, 0.6));
    const light = new THREE.DirectionalLight(0xffffff, 0.75);
    light.position.set(2, 3, 4);
    scene.add(light);
    view.camera = new THREE.PerspectiveCamera(30, 1, 0.05, 20);
    view.camera.position.set(1.6, 1.15, 2.5);
    view.controls = new THREE.OrbitControls(view.camera, view.element);
    view.controls.enableZoom = false;   // the wheel moves the page until the mesh is clicked
    view.element.addEventListener('pointerdown', function () { view.controls.enableZoom = true; });
    view.element.addEventListener('pointerleave', function () { view.controls.enableZoom = false; });
    view.controls.addEventListener('change', ask);
    view.body = body;
    view.scene = scene;
  }

  function draw() {
    isDue = false;
    const canvas = renderer.domElement;
    const width = window.innerWidth;
    const height = window.innerHeight;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.floor(width * ratio) || canvas.height !== Math.floor(height * ratio)) {
      renderer.setPixelRatio(ratio);
      renderer.setSize(width, height, false);
    }
    renderer.setScissorTest(false);
    renderer.clear();
    renderer.setScissorTest(true);
    for (const view of views) {
      const box = view.element.getBoundingClientRect();
      if (box.bottom < 0 || box.top > height || !box.width) continue;
      if (!view.scene) open(view);
      view.camera.aspect = box.width / box.height;
      view.camera.updateProjectionMatrix();
      renderer.setViewport(box.left, height - box.bottom, box.width, box.height);
      renderer.setScissor(box.left, height - box.bottom, box.width, box.height);
      renderer.render(view.scene, view.camera);
    }
  }

  function ask() {
    if (!isDue) {
      isDue = true;
      window.requestAnimationFrame(draw);
    }
  }

  function turnUp(view) {
    if (!view.scene) open(view);
    view.body.rotation.x = view.body.rotation.x ? 0 : -Math.PI / 2;
    ask();
  }

  for (const element of document.querySelectorAll('.mesh')) {
    const view = { element: element };
    views.push(view);
    const button = element.parentNode.querySelector('button');
    if (button) button.addEventListener('click', function () { turnUp(view); });
  }
  if (!views.length) return;
  try {
    renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
  } catch (error) {
    for (const view of views) view.element.classList.add('without');
    return;
  }
  renderer.setClearColor(0xffffff, 0);
  renderer.domElement.id = 'canvas';
  document.body.prepend(renderer.domElement);
  window.addEventListener('scroll', ask, { passive: true });
  window.addEventListener('resize', ask);
  ask();
})();
