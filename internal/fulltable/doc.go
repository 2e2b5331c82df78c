// Package fulltable has the prefixes of the internet's routing table: the real
// ones that come with the test data of the bart module ([Real]), or generated ones
// of the same size and shape ([Synthetic]). [Get] takes the first that is there.
package fulltable
