package shapley

import "slices"

// planned is a tree before its tables are made.
type planned struct {
	tree   Tree
	slots  []slotClasses
	at     map[int]int // place of a slot in slots
	sample [][]int     // by place: an id of each class
	base   float64
	groups []plannedGroup
	exact  map[int]quadrature // by how many slots a leaf has
}

// plannedGroup is the leaves below a node: the path there, and the cells of its table; 0
// where it has none.
type plannedGroup struct {
	node  int
	path  []step
	cells int
}

// step is what a path asks of a slot: the share of the rows that follow it where the slot
// is not known, and which classes do.
type step struct {
	place int
	share float64
	leads []bool
}

func plan(tree Tree, ids []int) *planned {
	p := &planned{tree: tree, at: make(map[int]int), exact: make(map[int]quadrature)}
	splits := make(map[int][]int)
	for i := range tree.Size() {
		slot, _, _ := tree.Split(i)
		if splits[slot] == nil {
			p.at[slot] = len(p.slots)
			p.slots = append(p.slots, slotClasses{slot: slot})
		}
		splits[slot] = append(splits[slot], i)
	}
	for k := range p.slots {
		of := &p.slots[k]
		of.classes = make([]uint16, ids[of.slot])
		known, sample := make(map[string]uint16), []int{}
		way := make([]byte, len(splits[of.slot]))
		for id := range of.classes {
			for n, i := range splits[of.slot] {
				way[n] = 0
				if tree.Has(i, id) {
					way[n] = 1
				}
			}
			class, ok := known[string(way)]
			if !ok {
				class = uint16(len(known))
				known[string(way)] = class
				sample = append(sample, id)
			}
			of.classes[id] = class
		}
		p.sample = append(p.sample, sample)
	}
	p.base = p.mean(p.root(), 1)
	return p
}

func (p *planned) root() int {
	if p.tree.Size() == 0 {
		return ^0
	}
	return 0
}

// mean returns the sum of the leaves below a node by their shares of the rows.
func (p *planned) mean(node int, share float64) float64 {
	if node < 0 {
		return float64(share * p.tree.Value(^node))
	}
	_, left, right := p.tree.Split(node)
	x, y := p.shares(node)
	return p.mean(left, float64(share*x)) + p.mean(right, float64(share*y))
}

// shares returns which shares of a split's rows go to its sides. Where it had none,
// either is as likely.
func (p *planned) shares(split int) (left, right float64) {
	_, l, r := p.tree.Split(split)
	whole := p.tree.Cover(split)
	if !(whole > 0) {
		return 0.5, 0.5
	}
	return p.tree.Cover(l) / whole, p.tree.Cover(r) / whole
}

// cut cuts the tree into groups of at most so many cells, and returns how many values
// their tables have.
func (p *planned) cut(most int) (values int) {
	p.groups = p.groups[:0]
	var visit func(node int, path []step)
	visit = func(node int, path []step) {
		if cells, slots := p.size(node, path, most); cells > 0 {
			p.groups = append(p.groups, plannedGroup{node, path, cells})
			values += cells * slots
			return
		}
		if node < 0 {
			p.groups = append(p.groups, plannedGroup{node, path, 0})
			return
		}
		_, left, right := p.tree.Split(node)
		visit(left, p.follow(path, node, true))
		visit(right, p.follow(path, node, false))
	}
	visit(p.root(), nil)
	return values
}

// follow returns a path and a step to a side of a split.
func (p *planned) follow(path []step, split int, left bool) []step {
	slot, _, _ := p.tree.Split(split)
	share, other := p.shares(split)
	if !left {
		share = other
	}
	place := p.at[slot]
	out := slices.Clone(path)
	at := slices.IndexFunc(out, func(s step) bool { return s.place == place })
	if at < 0 {
		at = len(out)
		out = append(out, step{place: place, share: 1, leads: slices.Repeat([]bool{true}, len(p.sample[place]))})
	}
	s := &out[at]
	s.share = float64(s.share * share)
	s.leads = slices.Clone(s.leads)
	for class, id := range p.sample[place] {
		s.leads[class] = s.leads[class] && p.tree.Has(split, id) == left
	}
	return out
}

// states numbers, for each slot that the leaves below a node depend on, what they can
// tell apart of its classes.
type states struct {
	place int
	of    []uint16 // by class
	ids   []int    // of each state: an id, -1 where it does not lead to the node
}

// size returns the cells of the table of a node, and how many slots it is of; no cells
// where there are more than most.
func (p *planned) size(node int, path []step, most int) (cells, slots int) {
	if p.below(node, most) >= most {
		return 0, 0
	}
	cells = 1
	for _, s := range p.states(node, path) {
		if cells *= len(s.ids); cells > most {
			return 0, 0
		}
		slots++
	}
	return cells, slots
}

// below counts the splits below a node, as far as most.
func (p *planned) below(node, most int) int {
	if node < 0 || most <= 0 {
		return 0
	}
	_, left, right := p.tree.Split(node)
	n := 1 + p.below(left, most-1)
	return n + p.below(right, most-n)
}

// states returns those of a node. A tree has one state where nothing depends on a slot.
func (p *planned) states(node int, path []step) (all []states) {
	splits := make(map[int][]int)
	var order []int // of places
	for _, s := range path {
		order = append(order, s.place)
	}
	var visit func(node int)
	visit = func(node int) {
		if node < 0 {
			return
		}
		slot, left, right := p.tree.Split(node)
		place := p.at[slot]
		if !slices.Contains(order, place) {
			order = append(order, place)
		}
		splits[place] = append(splits[place], node)
		visit(left)
		visit(right)
	}
	visit(node)
	for k, place := range order {
		s := states{place: place, of: make([]uint16, len(p.sample[place]))}
		known := make(map[string]uint16)
		way := make([]byte, len(splits[place]))
		for class, id := range p.sample[place] {
			key, leads := "no", k >= len(path) || path[k].leads[class]
			if leads {
				for n, i := range splits[place] {
					way[n] = 0
					if p.tree.Has(i, id) {
						way[n] = 1
					}
				}
				key = "yes" + string(way)
			} else {
				id = -1
			}
			state, ok := known[key]
			if !ok {
				state = uint16(len(s.ids))
				known[key] = state
				s.ids = append(s.ids, id)
			}
			s.of[class] = state
		}
		all = append(all, s)
	}
	return all
}

// compile makes the tables.
func (p *planned) compile() compiled {
	out := compiled{slots: p.slots}
	for _, g := range p.groups {
		of := p.states(g.node, g.path)
		switch {
		case len(of) == 0: // a tree of one leaf
		case g.cells == 0:
			out.wide = append(out.wide, p.wide(g, of))
		default:
			out.groups = append(out.groups, p.table(g, of))
		}
	}
	return out
}

// quadrature returns the one for leaves of so many slots.
func (p *planned) quadrature(slots int) quadrature {
	q, ok := p.exact[slots]
	if !ok {
		q = quadratureOf(slots - 1)
		p.exact[slots] = q
	}
	return q
}

// wide returns a leaf without a table.
func (p *planned) wide(g plannedGroup, of []states) wideLeaf {
	w := wideLeaf{leaf: leafOf(p.tree.Value(^g.node), g.path), exact: p.quadrature(len(g.path))}
	for k, s := range of {
		m := member{slot: p.slots[s.place].slot, of: s.place, cells: make([]uint16, len(s.of))}
		for class := range s.of {
			if g.path[k].leads[class] {
				m.cells[class] = 1
			}
		}
		w.members = append(w.members, m)
	}
	return w
}

// table returns the group of the leaves below a node.
func (p *planned) table(g plannedGroup, of []states) group {
	out := group{cells: g.cells}
	at := make(map[int]int, len(of)) // member by place
	stride := 1
	strides := make([]int, len(of))
	for k, s := range of {
		m := member{slot: p.slots[s.place].slot, of: s.place, cells: make([]uint16, len(s.of))}
		for class, state := range s.of {
			m.cells[class] = uint16(stride) * state
		}
		out.members = append(out.members, m)
		at[s.place], strides[k] = k, stride
		stride *= len(s.ids)
	}
	sums := make([]float64, len(of)*g.cells)
	var visit func(node int, path []step)
	visit = func(node int, path []step) {
		if node >= 0 {
			_, left, right := p.tree.Split(node)
			visit(left, p.follow(path, node, true))
			visit(right, p.follow(path, node, false))
			return
		}
		p.addLeaf(leafOf(p.tree.Value(^node), path), path, of, at, strides, g.cells, sums)
	}
	visit(g.node, g.path)
	out.values = make([]float32, len(sums))
	for i, x := range sums {
		out.values[i] = float32(x)
	}
	return out
}

func leafOf(value float64, path []step) leaf {
	l := leaf{value: value}
	for _, s := range path {
		l.shares = append(l.shares, s.share)
	}
	return l
}

// addLeaf adds what a leaf brings to the sums of each cell.
func (p *planned) addLeaf(l leaf, path []step, of []states, at map[int]int, strides []int, cells int, sums []float64) {
	n := len(path)
	q := p.quadrature(n)
	leads := make([][]bool, n) // by state
	members := make([]int, n)
	for j, s := range path {
		k := at[s.place]
		members[j], leads[j] = k, make([]bool, len(of[k].ids))
		for class, state := range of[k].of {
			leads[j][state] = s.leads[class]
		}
	}
	known, values := make([]float64, n), make([]float64, n)
	// Cells of which the same slots lead to the leaf have the same values.
	found := make(map[uint64][]float64)
	for cell := range cells {
		mask := uint64(0)
		for j, k := range members {
			known[j] = 0
			if leads[j][cell/strides[k]%len(of[k].ids)] {
				known[j] = 1
				mask |= 1 << (j % 64)
			}
		}
		bring, ok := found[mask]
		if !ok || n > 64 {
			l.bring(q, known, values)
			bring = slices.Clone(values)
			found[mask] = bring
		}
		for j, k := range members {
			sums[k*cells+cell] += bring[j]
		}
	}
}
