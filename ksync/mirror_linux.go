package ksync

import "context"

func openMirrorSource(ctx context.Context, opt *MirrorOptions) (source, error) {
	k, err := openSource(ctx, opt)
	if err != nil {
		return nil, err
	}
	return k, nil
}
