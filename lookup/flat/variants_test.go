package flat

// Variants are engines with each set of instructions that the machine has, the widest first.
func Variants() []Engine {
	all := []Engine{{}}
	if best > avx2 {
		all = append(all, Engine{AVX2: true})
	}
	if best > plain {
		all = append(all, Engine{Plain: true})
	}
	return all
}
